/**
 * A shuffle buffer that gives the very order of webdataset's `_shuffle` (webdataset 0.2, `filters.py`), which is what
 * DataComp's resharder shuffles with, when that is handed `random.Random(seed)`. By itself it takes its seed from the
 * clock; a run that cannot be done again is no use here.
 */

/** Words of the Mersenne Twister's state, and the distance of the words that it mixes. */
const N = 624;
const M = 397;

/** Python's `random.Random(seed)`: MT19937 (Matsumoto and Nishimura, 1998), seeded by `init_by_array`. */
export class PythonRandom {
  readonly #state = new Uint32Array(N);
  #at = N;

  /** @param seed a whole number from 0 to 2^53 − 1. */
  constructor(seed: number) {
    const high = Math.floor(seed / 2 ** 32);
    const key = high === 0 ? [seed >>> 0] : [seed >>> 0, high];
    const state = this.#state;
    state[0] = 19650218;
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, mixed(state[i - 1])) + i;
    let i = 1;
    for (let step = 0; step < N; step++) {
      const j = step % key.length;
      state[i] = (state[i] ^ Math.imul(mixed(state[i - 1]), 1664525)) + key[j] + j;
      if (++i === N) [state[0], i] = [state[N - 1], 1];
    }
    for (let step = 1; step < N; step++) {
      state[i] = (state[i] ^ Math.imul(mixed(state[i - 1]), 1566083941)) - i;
      if (++i === N) [state[0], i] = [state[N - 1], 1];
    }
    state[0] = 0x80000000;
  }

  /** As `randrange(n)`: from 0 to n − 1, n being at most 2^31. */
  below(n: number): number {
    // Python takes as many bits as n has, and tries again where that is n or more.
    const bits = 32 - Math.clz32(n);
    while (true) {
      const drawn = this.#next() >>> (32 - bits);
      if (drawn < n) return drawn;
    }
  }

  #next(): number {
    if (this.#at === N) this.#twist();
    let word = this.#state[this.#at++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < N; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + M) % N] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.#at = 0;
  }
}

function mixed(word: number): number {
  return word ^ (word >>> 30);
}

/** Holds `size` items; from then on each that comes in drives out one drawn at random. */
export class ShuffleBuffer<T> {
  readonly #size: number;
  readonly #random: PythonRandom;
  readonly #items: T[] = [];

  constructor(size: number, seed: number) {
    this.#size = size;
    this.#random = new PythonRandom(seed);
  }

  /** What an item drives out; nothing while the buffer fills. */
  push(item: T): T | undefined {
    this.#items.push(item);
    return this.#items.length >= this.#size ? this.#pick() : undefined;
  }

  /** What is left, in random order too. */
  *drain(): Generator<T> {
    for (let item = this.#pick(); item !== undefined; item = this.#pick()) yield item;
  }

  #pick(): T | undefined {
    const items = this.#items;
    if (items.length === 0) return undefined;
    const at = this.#random.below(items.length);
    const item = items[at];
    items[at] = items[items.length - 1];
    items.pop();
    return item;
  }
}
