/**
 * Which of equal things in a shard came first, while several samples are under way at once. Things are met in the order
 * of the shard; whether an earlier one came through is known later, and waited for.
 */

/** Different things remembered of a shard: as many as img2dataset puts in one. What comes after them counts as new. */
export const REMEMBERED = 10_000;

export interface Encounter {
  /** Whether an equal thing before this one came through. */
  readonly before: boolean | Promise<boolean>;
  /** To be called once: whether this one came through. */
  settle(isThere: boolean): void;
}

/** Answered at once where nothing equal was met; memory is a key and a promise a different thing, up to `most`. */
export class Firsts {
  readonly #latest = new Map<string, Promise<boolean>>();
  readonly #most: number;

  constructor(most = REMEMBERED) {
    this.#most = most;
  }

  /** Has to be called in the order of the shard. `undefined` where no more can be remembered. */
  meet(key: string): Encounter | undefined {
    const before = this.#latest.get(key);
    if (before === undefined && this.#latest.size >= this.#most) return undefined;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#latest.set(key, promise);
    return {
      before: before ?? false,
      // One that came through stands for all that are equal, whatever becomes of those between.
      settle: (isThere) =>
        before === undefined ? resolve(isThere) : resolve(before.then((one) => one || isThere)),
    };
  }
}
