/**
 * Seeded random numbers: MT19937 (Matsumoto and Nishimura 1998), as `std::mt19937` gives them, and drawn from as
 * faiss draws (`utils/random.cpp`), so that the same seed makes the same k-means there and here.
 */

const N = 624;
const M = 397;

export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #at = N;

  /** @param seed taken modulo 2^32. */
  constructor(seed: number) {
    this.#state[0] = seed % 2 ** 32;
    for (let i = 1; i < N; i++) {
      const before = this.#state[i - 1];
      this.#state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
  }

  /** The next 32 bits. */
  next(): number {
    if (this.#at === N) this.#turn();
    let y = this.#state[this.#at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** In `[0, n)`, by the remainder; the bias towards small numbers is below n / 2^32. */
  below(n: number): number {
    return this.next() % n;
  }

  /** In `[0, 1]`, in float32 as faiss's `rand_float`. */
  float(): number {
    return Math.fround(Math.fround(this.next()) / 2 ** 32);
  }

  #turn(): void {
    const s = this.#state;
    for (let i = 0; i < N; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % N] & 0x7fffffff);
      s[i] = s[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#at = 0;
  }
}

/** The numbers below `n` in random order: faiss's `rand_perm` for the same seed. */
export function permutation(n: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const random = new MersenneTwister(seed);
  for (let i = 0; i + 1 < n; i++) {
    const j = i + random.below(n - i);
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}

/** A seed of 32 bits made of a seed and what else is to decide (FNV-1a over the text). */
export function derivedSeed(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(parts.join('/'))) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
