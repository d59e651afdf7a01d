import { UsageError } from '../../errors.ts';
import { parseSubset } from '../../uids/npy.ts';
import { UidSet } from '../../uids/uid-set.ts';
import type { SelectEnv } from '../env.ts';
import { DROP, KEEP, type RowFilter } from '../types.ts';

/** Rows whose uid is in a subset file; how often it is there does not matter. 16 bytes of memory a uid. */
export async function subsetFilter(path: string, { readFile }: SelectEnv): Promise<RowFilter> {
  if (readFile === undefined) throw new UsageError('a subset cannot be read here', { file: path });
  const listed = new UidSet(parseSubset(await readFile(path), path));
  return {
    kind: 'rows',
    requests: [{ name: 'uid', as: 'uid' }],
    found: { uids: listed.distinct },
    judge(batch, verdicts) {
      const here = batch.uids();
      for (let row = 0; row < batch.rows; row++)
        verdicts[row] = listed.findWords(here, row) >= 0 ? KEEP : DROP;
    },
  };
}
