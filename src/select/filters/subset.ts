import { UsageError } from '../../errors.ts';
import { KeySet } from '../../uids/key-set.ts';
import { parseSubset } from '../../uids/npy.ts';
import { wordsOf } from '../../uids/uids.ts';
import type { SelectEnv } from '../env.ts';
import { DROP, KEEP, type RowFilter } from '../types.ts';

/** Rows whose uid is in a subset file; how often it is there does not matter. 20 to 40 bytes of memory a uid. */
export async function subsetFilter(path: string, { readFile }: SelectEnv): Promise<RowFilter> {
  if (readFile === undefined) throw new UsageError('a subset cannot be read here', { file: path });
  const uids = parseSubset(await readFile(path), path);
  const words = wordsOf(uids);
  const listed = new KeySet();
  for (let i = 0; i < uids.length / 2; i++) listed.add(words, i);
  return {
    kind: 'rows',
    requests: [{ name: 'uid', as: 'uid' }],
    found: { uids: listed.size },
    judge(batch, verdicts) {
      const here = batch.uids();
      for (let row = 0; row < batch.rows; row++) verdicts[row] = listed.has(here, row) ? KEEP : DROP;
    },
  };
}
