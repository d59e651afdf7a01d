import { CancelledError } from '../errors.ts';
import type { Pool } from './pool.ts';
import type { Numbers, PoolFile } from './scan.ts';
import { parquetScanner } from './scan.ts';

/** The scores of rows that two pools share, in one order; NaN where a row has none. */
export interface JoinedScores {
  a: Numbers;
  b: Numbers;
  /** Rows of one pool that the other lacks. */
  onlyFirst: number;
  onlySecond: number;
}

type Side = readonly [pool: Pool, column: string];

interface Rows {
  uids: Uint32Array;
  keys: readonly (string | null)[] | undefined;
  scores: Numbers;
}

/**
 * Joins by uid and key, by uid alone where one pool has no keys; the nth row of some uid and key with the nth. Shards of
 * one name that hold the same rows in the same order, as two runs over one pool do, are joined as they lie; only the rest
 * is gathered by name, in memory.
 */
export async function joinScores(first: Side, second: Side, signal?: AbortSignal): Promise<JoinedScores> {
  const hasKeys = [first, second].every(([pool]) =>
    pool.files.every((file) => pool.typeOf(file, 'key') === 'BYTE_ARRAY'),
  );
  const read = ([, column]: Side, file: PoolFile) => rowsOf(file, column, hasKeys, signal);
  const rest: [PoolFile[], PoolFile[]] = [[], []];
  const [a, b] = [new Growing(first), new Growing(second)];
  const left = new Map(second[0].files.map((file) => [file.shard, file]));
  for (const file of first[0].files) {
    const other = left.get(file.shard);
    if (other === undefined || other.rows !== file.rows) {
      rest[0].push(file);
      continue;
    }
    const [x, y] = [await read(first, file), await read(second, other)];
    if (!isSame(x, y)) {
      rest[0].push(file);
      continue;
    }
    left.delete(file.shard);
    a.add(x.scores);
    b.add(y.scores);
  }
  rest[1].push(...left.values());

  const waiting = new Map<string, number[]>();
  let onlyFirst = 0;
  for (const file of rest[0]) {
    const rows = await read(first, file);
    for (let row = 0; row < rows.scores.length; row++) {
      const name = nameOf(rows, row);
      const same = waiting.get(name);
      if (same === undefined) waiting.set(name, [rows.scores[row]]);
      else same.push(rows.scores[row]);
      onlyFirst++;
    }
  }
  let onlySecond = 0;
  for (const file of rest[1]) {
    const rows = await read(second, file);
    const matched: [number[], number[]] = [[], []];
    for (let row = 0; row < rows.scores.length; row++) {
      const score = waiting.get(nameOf(rows, row))?.shift();
      if (score === undefined) {
        onlySecond++;
        continue;
      }
      onlyFirst--;
      matched[0].push(score);
      matched[1].push(rows.scores[row]);
    }
    a.add(matched[0]);
    b.add(matched[1]);
  }
  return { a: a.all(), b: b.all(), onlyFirst, onlySecond };
}

async function rowsOf(
  file: PoolFile,
  column: string,
  hasKeys: boolean,
  signal: AbortSignal | undefined,
): Promise<Rows> {
  if (signal?.aborted) throw new CancelledError();
  const uids = new Uint32Array(4 * file.rows);
  const keys: (string | null)[] = [];
  let scores: Numbers | undefined;
  const requests = [
    { name: 'uid', as: 'uid' },
    { name: column, as: 'number' },
    ...(hasKeys ? [{ name: 'key', as: 'text' } as const] : []),
  ] as const;
  for await (const batch of parquetScanner.scan([file], requests, { signal })) {
    const start = batch.start - file.start;
    uids.set(batch.uids(), 4 * start);
    const numbers = batch.numbers(column);
    scores ??= numbers instanceof Float32Array ? new Float32Array(file.rows) : new Float64Array(file.rows);
    scores.set(numbers, start);
    if (hasKeys) for (const key of batch.texts('key')) keys.push(key);
  }
  return { uids, keys: hasKeys ? keys : undefined, scores: scores ?? new Float32Array(0) };
}

function isSame(x: Rows, y: Rows): boolean {
  if (x.uids.some((word, i) => word !== y.uids[i])) return false;
  return x.keys === undefined || x.keys.every((key, i) => key === y.keys?.[i]);
}

function nameOf({ uids, keys }: Rows, row: number): string {
  const words = uids.subarray(4 * row, 4 * row + 4);
  return `${words.join(',')} ${keys?.[row] ?? ''}`;
}

/** Pieces of one column; float32 where all of its files say so. */
class Growing {
  readonly #isFloat: boolean;
  readonly #pieces: ArrayLike<number>[] = [];

  constructor([pool, column]: Side) {
    this.#isFloat = pool.files.every((file) => pool.floatType(file, column) === 'FLOAT');
  }

  add(piece: ArrayLike<number>): void {
    this.#pieces.push(piece);
  }

  all(): Numbers {
    const length = this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
    const out = this.#isFloat ? new Float32Array(length) : new Float64Array(length);
    let at = 0;
    for (const piece of this.#pieces) {
      out.set(piece, at);
      at += piece.length;
    }
    return out;
  }
}
