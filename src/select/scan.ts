import type { DecodedArray } from 'hyparquet';
import { CancelledError, MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import type { ParquetColumn, ParquetFile } from '../metadata/parquet-read.ts';
import { parseUids } from '../uids/parquet-uids.ts';
import type { RowMask } from './mask.ts';
import { copyScores } from './scores.ts';

/**
 * Columns of a pool's parquets as filters want them, a batch of rows after another in the order of the pool. This
 * reader works everywhere; a platform may hand in a faster one that gives the same values.
 */

/** One parquet of a pool. */
export interface PoolFile {
  /** For messages: folder and file. */
  name: string;
  folder: Folder;
  /** Base name of parquet and npz. */
  shard: string;
  parquet: ParquetFile;
  /** Place of its first row in the pool. */
  start: number;
  rows: number;
}

/**
 * - `number`: a `Float32Array` where the parquet says FLOAT, else a `Float64Array`; null is NaN
 * - `text`: `(string | null)[]`
 * - `flag`: `(boolean | null)[]`
 * - `uid`: a `Uint32Array` of four words a row, as in `uids.ts`; what is no uid is a `MetadataError`
 */
export type ColumnKind = 'number' | 'text' | 'flag' | 'uid';

export interface ColumnRequest {
  name: string;
  as: ColumnKind;
}

export type Numbers = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

export interface Batch {
  file: PoolFile;
  /** Place of its first row in the pool. */
  start: number;
  rows: number;
  numbers(name: string): Numbers;
  texts(name: string): readonly (string | null)[];
  flags(name: string): readonly (boolean | null)[];
  uids(): Uint32Array<ArrayBuffer>;
}

export interface ScanOptions {
  /** Rows that matter: values of the others may be anything, and batches with none of them may be left out. */
  only?: RowMask;
  signal?: AbortSignal;
}

export interface Scanner {
  /** Columns that are there beside the parquets' own (joined ones), in every file. */
  readonly joined?: readonly { name: string; type: string }[];
  scan(
    files: readonly PoolFile[],
    requests: readonly ColumnRequest[],
    options?: ScanOptions,
  ): AsyncIterable<Batch>;
}

/** Reads by hyparquet, on any platform. */
export const parquetScanner: Scanner = { scan };

async function* scan(
  files: readonly PoolFile[],
  requests: readonly ColumnRequest[],
  { only, signal }: ScanOptions = {},
): AsyncIterable<Batch> {
  const bytes = requests.filter(({ as }) => as === 'uid').map(({ name }) => name);
  const plain = requests.filter(({ as }) => as !== 'uid').map(({ name }) => name);
  for (const file of files) {
    // A file of no rows may have lost its types: pandas writes its text as nulls.
    if (file.rows === 0 || (only && !only.any(file.start, file.start + file.rows))) continue;
    const raw =
      bytes.length > 0 ? file.parquet.groups(bytes, { bytes: true })[Symbol.asyncIterator]() : undefined;
    const groups = plain.length > 0 ? file.parquet.groups(plain)[Symbol.asyncIterator]() : undefined;
    for (;;) {
      if (signal?.aborted) throw new CancelledError();
      const [a, b] = [await raw?.next(), await groups?.next()];
      if ((a ?? b)?.done !== false) break;
      const { start, rows } = (a ?? b)!.value;
      const chunks = new Map<string, DecodedArray[]>([
        ...(a?.value.chunks ?? []),
        ...(b?.value.chunks ?? []),
      ]);
      yield batchOf(file, { start, rows, chunks }, requests);
    }
  }
}

/** A batch over pieces of decoded values, by column. */
function batchOf(
  file: PoolFile,
  group: { start: number; rows: number; chunks: Map<string, readonly ArrayLike<unknown>[]> },
  requests: readonly ColumnRequest[],
): Batch {
  const { rows, chunks } = group;
  const values = new Map<string, unknown>();
  for (const { name, as } of requests) {
    const pieces = chunks.get(name)!;
    if (as === 'number') values.set(`${as}:${name}`, toNumbers(file, name, rows, pieces));
    else if (as === 'uid') {
      const words = new Uint32Array(4 * rows);
      parseUids(pieces, words, { file: file.name, start: group.start });
      values.set('uid', words);
    } else values.set(`${as}:${name}`, toValues(file, name, as, pieces));
  }
  return makeBatch(file, file.start + group.start, rows, values);
}

/** A batch over values that a scanner has decoded, by `<kind>:<column>` and `uid`. */
export function makeBatch(
  file: PoolFile,
  start: number,
  rows: number,
  values: ReadonlyMap<string, unknown>,
): Batch {
  return {
    file,
    start,
    rows,
    numbers: (name) => values.get(`number:${name}`) as Numbers,
    texts: (name) => values.get(`text:${name}`) as (string | null)[],
    flags: (name) => values.get(`flag:${name}`) as (boolean | null)[],
    uids: () => values.get('uid') as Uint32Array<ArrayBuffer>,
  };
}

const NUMERIC = new Set(['FLOAT', 'DOUBLE', 'INT32', 'INT64']);

/** Whether a column's values are numbers: dates and times, which parquet stores as integers, are not. */
export function isNumeric({ type, logical = '' }: ParquetColumn): boolean {
  return NUMERIC.has(type) && !/^(DATE|TIME)/.test(logical);
}

function toNumbers(
  file: PoolFile,
  name: string,
  rows: number,
  pieces: readonly ArrayLike<unknown>[],
): Numbers {
  const column = file.parquet.columns.find((found) => found.name === name);
  if (column === undefined || !isNumeric(column)) {
    throw wrongKind(file, name, column?.logical ?? column?.type ?? '', 'a number');
  }
  const numbers = new (column.type === 'FLOAT' ? Float32Array : Float64Array)(rows);
  copyScores(pieces, numbers, 0);
  return numbers;
}

function toValues(
  file: PoolFile,
  name: string,
  as: 'text' | 'flag',
  pieces: readonly ArrayLike<unknown>[],
): unknown[] {
  const type = file.parquet.columns.find((column) => column.name === name)?.type ?? '';
  const wanted = as === 'text' ? 'BYTE_ARRAY' : 'BOOLEAN';
  if (type !== wanted) throw wrongKind(file, name, type, as === 'text' ? 'text' : 'true or false');
  const values: unknown[] = [];
  for (const piece of pieces) for (let i = 0; i < piece.length; i++) values.push(piece[i] ?? null);
  return values;
}

/** The error for a column that holds something else than a filter needs. */
export function wrongKind(
  file: { name: string },
  column: string,
  type: string,
  wanted: string,
): MetadataError {
  return new MetadataError(`${column} is ${type}, not ${wanted}`, { file: file.name, column });
}
