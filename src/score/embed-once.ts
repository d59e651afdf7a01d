/**
 * Embeddings of what may repeat within a shard: equal things are embedded once. An embedding's bits do not depend on what
 * it is embedded with, so the numbers are those of embedding each.
 */

import { concat } from './collect.ts';

/** Items of one call, in order. */
export interface Claim {
  /** Places of those that have to be embedded. */
  readonly fresh: readonly number[];
  /** Gives the embeddings of `fresh`, `[fresh, dim]`, and gets those of all items. Rejects where an earlier call failed. */
  fill(embedded: Float32Array): Promise<Float32Array>;
  /** They could not be made. */
  fail(error: unknown): void;
}

/**
 * Embeds what claims of several models have to, one after another, and gives the embeddings of all their items, by claim.
 * Where one fails, all do, so that nobody waits for them.
 */
export async function fillAll(
  claims: readonly Claim[],
  embed: (fresh: readonly number[], model: number) => Promise<Float32Array>,
): Promise<Float32Array[]> {
  const filled: Float32Array[] = [];
  try {
    for (const [m, claim] of claims.entries()) {
      const { fresh } = claim;
      filled.push(await claim.fill(fresh.length === 0 ? new Float32Array(0) : await embed(fresh, m)));
    }
    return filled;
  } catch (error) {
    for (const claim of claims) claim.fail(error);
    throw error;
  }
}

/** Holds `most` embeddings, or as many different keys as it is given. */
export class EmbedOnce {
  readonly #rows = new Map<string, Promise<Float32Array>>();
  readonly #most: number;

  constructor(most = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }

  /**
   * Has to be called in the order of the shard, and every claim be filled or failed: later ones wait for it. `keys`: equal
   * for equal items; an item without a key is embedded, whatever it equals.
   */
  claim(keys: readonly (string | undefined)[]): Claim {
    const fresh: number[] = [];
    const made: PromiseWithResolvers<Float32Array>[] = [];
    const all = keys.map((key, i) => {
      const known = key === undefined ? undefined : this.#rows.get(key);
      if (known !== undefined) return known;
      const row = Promise.withResolvers<Float32Array>();
      // Told to who waits for it; if nobody does, the claim's own failure is enough.
      row.promise.catch(() => {});
      fresh.push(i);
      made.push(row);
      if (key !== undefined && this.#rows.size < this.#most) this.#rows.set(key, row.promise);
      return row.promise;
    });
    return {
      fresh,
      async fill(embedded) {
        const dim = embedded.length / Math.max(1, fresh.length);
        for (const [i, { resolve }] of made.entries()) resolve(embedded.subarray(i * dim, (i + 1) * dim));
        if (fresh.length === keys.length) return embedded;
        return concat(await Promise.all(all));
      },
      fail: (error) => {
        for (const { reject } of made) reject(error);
      },
    };
  }
}
