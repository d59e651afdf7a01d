import { UsageError } from '../../errors.ts';
import { BLOCK_KINDS, type BlockKind, type BlockList, parseBlockList } from '../../safety/blocklist.ts';
import { formatUid } from '../../uids/uids.ts';
import type { SelectEnv } from '../env.ts';
import type { Pool } from '../pool.ts';
import type { Batch, ColumnRequest } from '../scan.ts';
import type { Params } from '../spec.ts';
import { DROP, KEEP, type RowFilter, UNJUDGED } from '../types.ts';
import { requireMade } from './safe.ts';

/** The column that holds what a list names. */
const COLUMN: { [Kind in BlockKind]: ColumnRequest } = {
  sha256: { name: 'sha256', as: 'text' },
  url: { name: 'url', as: 'text' },
  domain: { name: 'url', as: 'text' },
  uid: { name: 'uid', as: 'uid' },
  pdq: { name: 'pdq', as: 'text' },
  member_sha256: { name: 'member_sha256', as: 'text' },
};

/**
 * Drops rows that are on a list. A row whose value is not there cannot be cleared by the list: it is not judged,
 * and so kept out.
 */
export async function blockFilter(params: Params<'block'>, pool: Pool, env: SelectEnv): Promise<RowFilter> {
  const { readFile } = env;
  if (readFile === undefined) throw new UsageError('block-lists cannot be read here');
  const lists: BlockList[] = [];
  const { pdq_distance: distance } = params;
  for (const kind of BLOCK_KINDS) {
    const path = params[kind];
    if (path === undefined) continue;
    if (kind === 'pdq' || kind === 'member_sha256') requireMade(pool, kind, 'hashes');
    else pool.require(COLUMN[kind].name);
    lists.push(parseBlockList(kind, await readFile(path), path, { distance }));
  }
  const requests = lists.map(({ kind }) => COLUMN[kind]);
  return {
    kind: 'rows',
    requests,
    found: {
      entries: lists.reduce((sum, { entries }) => sum + entries, 0),
      lists_sha256: lists.map(({ sha256 }) => sha256),
    },
    judge(batch, verdicts) {
      verdicts.fill(KEEP);
      lists.forEach((list, i) => {
        const valueAt = values(batch, requests[i]);
        for (let row = 0; row < batch.rows; row++) {
          const isListed = list.matches(valueAt(row));
          if (isListed) verdicts[row] = DROP;
          else if (isListed === null && verdicts[row] === KEEP) verdicts[row] = UNJUDGED;
        }
      });
    },
  };
}

function values(batch: Batch, { name, as }: ColumnRequest): (row: number) => string | null {
  if (as === 'text') {
    const texts = batch.texts(name);
    return (row) => texts[row];
  }
  const words = batch.uids();
  const uids = new BigUint64Array(words.buffer, words.byteOffset, words.length / 2);
  return (row) => formatUid(uids, row);
}
