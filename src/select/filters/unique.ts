import { KeySet, textKey } from '../../uids/key-set.ts';
import { RowMask } from '../mask.ts';
import type { Params } from '../spec.ts';
import type { PoolFilter } from '../types.ts';

/**
 * Exact duplicates: of the rows that came in, the first of each value of a column stays. Rows without a value have
 * no duplicates and stay. 20 to 40 bytes of memory a value.
 */
export function uniqueFilter({ by }: Params<'unique'>): PoolFilter {
  const isUid = by === 'uid';
  return {
    kind: 'pool',
    async judge(pool, { rest, signal }) {
      const keep = new RowMask(pool.rows);
      const seen = new KeySet();
      let repeats = 0;
      for await (const batch of pool.scan([{ name: by, as: isUid ? 'uid' : 'text' }], {
        only: rest,
        signal,
      })) {
        const words = isUid ? batch.uids() : new Uint32Array(4);
        const texts = isUid ? undefined : batch.texts(by);
        for (let row = 0; row < batch.rows; row++) {
          if (!rest.get(batch.start + row)) continue;
          const text = texts?.[row];
          if (text === null) keep.set(batch.start + row);
          else {
            if (text !== undefined) textKey(text, words, 0);
            if (seen.add(words, text === undefined ? row : 0)) keep.set(batch.start + row);
            else repeats++;
          }
        }
      }
      return { keep, unjudged: new RowMask(pool.rows), found: { column: by, repeats } };
    },
  };
}
