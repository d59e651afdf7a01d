/**
 * Random numbers that are a function of a seed and of what they are drawn for, not of an order: the same rows are
 * drawn whatever the number of files, threads or machines.
 */

/** In [0, 1), for a uid given as four words, and a second number where one uid needs several. */
export function draw(seed: number, words: Uint32Array, at: number, salt = 0): number {
  let state = mix(seed ^ 0x6a09e667);
  state = mix(state ^ salt);
  for (let word = 0; word < 4; word++) state = mix((state + 0x9e3779b9) ^ words[4 * at + word]);
  return state / 2 ** 32;
}

/** MurmurHash3's finaliser: every bit of the input moves every bit of the output. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
