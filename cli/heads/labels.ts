/** A file of labels, and where its samples are in metadata. */
import { readFile } from 'node:fs/promises';
import { UsageError } from '../../src/errors.ts';
import { type LabelFile, parseLabels } from '../../src/safety/heads/train/labels.ts';
import type { Pool } from '../../src/select/pool.ts';
import { parseUidText } from '../../src/uids/uids.ts';

/** Throws `UsageError` where there is no such file, and what `parseLabels` throws. */
export async function readLabels(path: string, positive: string | undefined): Promise<LabelFile> {
  const file = await readFile(path).catch(() => {
    throw new UsageError('there is no such file of labels', { file: path });
  });
  return parseLabels(new Uint8Array(file), path, positive);
}

/**
 * The pool's row of each uid, in the order of the labels; the first where a uid is there more than once. Throws
 * `UsageError` for uids that are not there.
 */
export async function rowsOfLabels(
  labels: LabelFile,
  pool: Pool,
  { file, signal }: { file: string; signal?: AbortSignal },
): Promise<Float64Array> {
  const wanted = new Map(labels.uids.map((uid, i) => [key(wordsOf(uid), 0), i]));
  const rows = new Float64Array(labels.uids.length).fill(Number.NaN);
  for await (const batch of pool.scan([{ name: 'uid', as: 'uid' }], { signal })) {
    const words = batch.uids();
    for (let i = 0; i < batch.rows; i++) {
      const at = wanted.get(key(words, i));
      if (at !== undefined && Number.isNaN(rows[at])) rows[at] = batch.start + i;
    }
  }
  const unknown = labels.uids.filter((_, i) => Number.isNaN(rows[i]));
  if (unknown.length > 0) {
    const some = unknown.slice(0, 3).join(', ');
    throw new UsageError(
      `${unknown.length} of ${labels.uids.length} labelled uids are not in the metadata: ${some}${unknown.length > 3 ? ', …' : ''}`,
      { file, hint: 'Remove them, or name the metadata folder that has them too' },
    );
  }
  return rows;
}

function wordsOf(uid: string): Uint32Array {
  const words = new Uint32Array(4);
  parseUidText(uid, words, 0);
  return words;
}

function key(words: Uint32Array, row: number): string {
  return String.fromCharCode(...new Uint16Array(words.slice(4 * row, 4 * row + 4).buffer));
}
