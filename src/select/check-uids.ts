import type { CheckedShard } from '../metadata/check-shard.ts';
import { addDamaged, type Findings } from '../metadata/findings.ts';
import { parseUidBytes } from '../uids/parquet-uids.ts';
import { countDistinct, sortUids, UidList } from '../uids/uids.ts';

/**
 * Reads the uids of checked shards: whether each is 32 hex digits (or 16 bytes), and how many come again. Holds 16
 * bytes a row, twice while they are sorted.
 */
export async function checkUids(
  shards: readonly CheckedShard[],
  findings: Findings,
): Promise<{ rows: number; distinct: number }> {
  const uids = new UidList();
  const words = new Uint32Array(4);
  for (const { folder, parquet, isOwn } of shards) {
    if (!parquet.columns.some(({ name }) => name === 'uid')) continue;
    let malformed = 0;
    let first = -1;
    try {
      for await (const { start, chunks } of parquet.groups(['uid'], { bytes: true })) {
        let row = start;
        for (const piece of chunks.get('uid')!) {
          for (let i = 0; i < piece.length; i++, row++) {
            if (parseUidBytes(piece[i], words, 0)) uids.push(words, 0);
            else if (malformed++ === 0) first = row;
          }
        }
      }
    } catch (error) {
      addDamaged(findings, { folder: folder.label, file: parquet.name, isOwn }, error);
    }
    if (malformed === 0) continue;
    findings.add({
      ...{ code: 'uid_malformed', level: 'problem', folder: folder.label, column: 'uid', file: parquet.name },
      ...{ message: 'uids that are not 32 hex digits', detail: `${malformed} rows, row ${first} first` },
      hint: 'Nothing is selected from such a file: make it again',
    });
  }
  const distinct = countDistinct(sortUids(uids.take()));
  const repeats = uids.length - distinct;
  if (repeats > 0) {
    findings.add({
      ...{ code: 'uid_repeated', level: 'note', folder: shards[0].folder.label, column: 'uid' },
      message: `${repeats} of ${uids.length} rows have a uid that came before`,
      hint: 'A subset holds such a uid once, or as often as it is kept with --multiset',
    });
  }
  return { rows: uids.length, distinct };
}
