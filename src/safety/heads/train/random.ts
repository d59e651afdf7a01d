/** Seeded numbers for training: the same on every machine. */

export interface Random {
  /** In [0, 1), 32 bits. */
  next(): number;
  /** Standard normal. */
  normal(): number;
  /** Shuffles in place, every order equally likely. */
  shuffle(values: Int32Array): Int32Array;
}

/** Mulberry32: 32 bits of state, which is plenty for a shuffle of labelled samples. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle(values) {
      for (let i = values.length - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1));
        [values[i], values[j]] = [values[j], values[i]];
      }
      return values;
    },
  };
}
