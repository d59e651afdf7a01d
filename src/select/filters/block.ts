import { UsageError } from '../../errors.ts';
import { type BlockKind, type BlockList, parseBlockList } from '../../safety/blocklist.ts';
import type { SelectEnv } from '../env.ts';
import type { Pool } from '../pool.ts';
import type { Batch, ColumnRequest } from '../scan.ts';
import type { Params } from '../spec.ts';
import { DROP, KEEP, type RowFilter, UNJUDGED } from '../types.ts';
import { formatUid } from '../uids.ts';

/** The column that holds what a list names. */
const COLUMN: { [Kind in keyof Params<'block'>]-?: ColumnRequest } = {
  sha256: { name: 'sha256', as: 'text' },
  url: { name: 'url', as: 'text' },
  domain: { name: 'url', as: 'text' },
  uid: { name: 'uid', as: 'uid' },
};

/**
 * Drops rows that are on a list. A row whose value is not there cannot be cleared by the list: it is not judged,
 * and so kept out.
 */
export async function blockFilter(params: Params<'block'>, pool: Pool, env: SelectEnv): Promise<RowFilter> {
  const { readFile } = env;
  if (readFile === undefined) throw new UsageError('block-lists cannot be read here');
  const lists: BlockList[] = [];
  for (const [kind, path] of Object.entries(params)) {
    if (path === undefined) continue;
    lists.push(parseBlockList(kind as BlockKind, await readFile(path), path));
  }
  const requests = lists.map(({ kind }) => COLUMN[kind as keyof Params<'block'>]);
  for (const { name } of requests) pool.require(name);
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
