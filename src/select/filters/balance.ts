import { UsageError } from '../../errors.ts';
import { draw } from '../draw.ts';
import { parseEntries } from '../entries.ts';
import type { SelectEnv } from '../env.ts';
import { RowMask } from '../mask.ts';
import type { Params } from '../spec.ts';
import type { Judged, PoolFilter } from '../types.ts';

/**
 * MetaCLIP's balancing (arXiv 2309.16671, algorithm 1) of the rows that came in: an entry that n captions hold is
 * drawn with probability min(1, cap / n), and a caption stays if one of its entries is drawn. A caption without an
 * entry goes. Draws depend on seed, uid and entry, so the same rows stay whatever else is in the pool's files.
 * Captions are read twice, once to count.
 */
export async function balanceFilter(params: Params<'balance'>, env: SelectEnv): Promise<PoolFilter> {
  const { readFile } = env;
  if (readFile === undefined) throw new UsageError('entries cannot be read here');
  const { entries: path, cap, seed } = params;
  const entries = parseEntries(await readFile(path), path);
  return {
    kind: 'pool',
    async judge(pool, { rest, signal }) {
      const counts = new Float64Array(entries.size);
      const judged: Judged = { keep: new RowMask(pool.rows), unjudged: new RowMask(pool.rows) };
      for await (const batch of pool.scan([{ name: 'text', as: 'text' }], { only: rest, signal })) {
        const captions = batch.texts('text');
        for (let row = 0; row < batch.rows; row++) {
          const caption = captions[row];
          if (!rest.get(batch.start + row)) continue;
          if (caption === null) judged.unjudged.set(batch.start + row);
          else for (const entry of entries.matches(caption)) counts[entry]++;
        }
      }
      const both = [
        { name: 'text', as: 'text' },
        { name: 'uid', as: 'uid' },
      ] as const;
      let unmatched = 0;
      for await (const batch of pool.scan(both, { only: rest, signal })) {
        const captions = batch.texts('text');
        const words = batch.uids();
        for (let row = 0; row < batch.rows; row++) {
          const caption = captions[row];
          if (caption === null || !rest.get(batch.start + row)) continue;
          const matches = entries.matches(caption);
          if (matches.size === 0) unmatched++;
          for (const entry of matches) {
            if (counts[entry] > cap && draw(seed, words, row, entry + 1) >= cap / counts[entry]) continue;
            judged.keep.set(batch.start + row);
            break;
          }
        }
      }
      const head = counts.reduce((sum, count) => sum + (count > cap ? 1 : 0), 0);
      const met = counts.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
      judged.found = {
        entries: entries.size,
        entries_met: met,
        entries_thinned: head,
        captions_without: unmatched,
      };
      return judged;
    },
  };
}
