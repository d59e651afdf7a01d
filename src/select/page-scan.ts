import { CancelledError, isShardsieveError } from '../errors.ts';
import type { FlatChunk, FlatColumn } from '../metadata/parquet-flat.ts';
import { type Decompress, readPages } from '../metadata/parquet-pages.ts';
import { type Ascii, readerOf } from './page-values.ts';
import {
  type Batch,
  type ColumnRequest,
  makeBatch,
  type PoolFile,
  parquetScanner,
  type Scanner,
  type ScanOptions,
} from './scan.ts';

/** What reading pages takes from a platform. */
export interface PageTools {
  decompress: Decompress;
  ascii: Ascii;
}

/** Rows of a batch: enough that a batch costs little, few enough that its strings are soon forgotten. */
const BATCH_ROWS = 32_768;
/** Row groups whose bytes are read before they are needed. */
const AHEAD = 2;

/**
 * Columns read by their pages: the same values as the neutral reader's in `scan.ts`, some ten times as fast, because
 * only what is asked for is decoded, straight into what is given out. Whatever it does not know (nested columns, other
 * encodings) or finds damaged is left to the neutral reader, whose errors also name file and row.
 *
 * Memory: the compressed pages of the columns asked for, of three row groups; a page of each; a batch.
 */
export function pageScanner(tools: PageTools): Scanner {
  return {
    async *scan(files, requests, options = {}) {
      const parts = files.flatMap((file) => partsOf(file, requests, options));
      const reads: (Promise<Uint8Array[] | undefined> | undefined)[] = [];
      for (const [i, part] of parts.entries()) {
        for (let next = reads.length; next < Math.min(parts.length, i + 1 + AHEAD); next++) {
          // What cannot be read here is told by the neutral reader.
          reads.push(readBytes(parts[next]).catch(() => undefined));
        }
        const bytes = reads[i];
        reads[i] = undefined;
        yield* readPart(part, await bytes, requests, options, tools);
      }
    },
  };
}

/** A row group to be read by pages, or a whole file for the neutral reader. */
interface Part {
  file: PoolFile;
  start: number;
  rows: number;
  /** By request. */
  pages: { column: FlatColumn; chunk: FlatChunk }[] | undefined;
}

function partsOf(file: PoolFile, requests: readonly ColumnRequest[], { only }: ScanOptions): Part[] {
  if (file.rows === 0 || (only && !only.any(file.start, file.start + file.rows))) return [];
  const columns = requests.map(({ name }) => file.parquet.flat(name));
  const known = columns.filter((column) => column !== undefined);
  const readable = requests.length > 0 && known.length === requests.length;
  if (!readable || !known.every((column, i) => isReadable(column, requests[i]))) {
    return [{ file, start: 0, rows: file.rows, pages: undefined }];
  }
  return known[0].chunks.flatMap(({ start, rows }, group) => {
    if (rows === 0 || (only && !only.any(file.start + start, file.start + start + rows))) return [];
    const pages = known.map((column) => ({ column, chunk: column.chunks[group] }));
    return [{ file, start, rows, pages }];
  });
}

const isReadable = (column: FlatColumn, { as }: ColumnRequest) =>
  readerOf([][Symbol.iterator](), column, as, () => '') !== undefined;

async function readBytes({ file, pages }: Part): Promise<Uint8Array[]> {
  const source = await file.folder.open(`${file.shard}.parquet`);
  return Promise.all((pages ?? []).map(({ chunk }) => source.slice(chunk.at, chunk.at + chunk.length)));
}

async function* readPart(
  part: Part,
  bytes: Uint8Array[] | undefined,
  requests: readonly ColumnRequest[],
  options: ScanOptions,
  tools: PageTools,
): AsyncGenerator<Batch> {
  const { file } = part;
  let done = part.start;
  if (part.pages !== undefined && bytes !== undefined) {
    try {
      for (const batch of batchesOf(part, part.pages, bytes, requests, options, tools)) {
        if (options.signal?.aborted) throw new CancelledError();
        yield batch;
        done = batch.start + batch.rows - file.start;
      }
      return;
    } catch (error) {
      if (isShardsieveError(error)) throw error;
    }
  }
  const end = part.start + part.rows;
  for await (const batch of parquetScanner.scan([file], requests, options)) {
    const start = batch.start - file.start;
    if (start + batch.rows > done && start < end) yield from(batch, Math.max(0, done - start));
  }
}

function* batchesOf(
  { file, start, rows }: Part,
  pages: NonNullable<Part['pages']>,
  bytes: readonly Uint8Array[],
  requests: readonly ColumnRequest[],
  { only }: ScanOptions,
  { decompress, ascii }: PageTools,
): Generator<Batch> {
  const readers = pages.map(({ column, chunk }, i) => {
    return readerOf(readPages(bytes[i], column, chunk, decompress), column, requests[i].as, ascii)!;
  });
  for (let row = 0; row < rows; row += BATCH_ROWS) {
    const count = Math.min(BATCH_ROWS, rows - row);
    const inPool = file.start + start + row;
    const isWanted = only === undefined ? () => true : (i: number) => only.get(inPool + i);
    const values = new Map(
      requests.map(({ name, as }, i) => [
        as === 'uid' ? 'uid' : `${as}:${name}`,
        readers[i](count, isWanted),
      ]),
    );
    yield makeBatch(file, inPool, count, values);
  }
}

/** A batch without its first rows. */
function from(batch: Batch, skip: number): Batch {
  if (skip === 0) return batch;
  return {
    file: batch.file,
    start: batch.start + skip,
    rows: batch.rows - skip,
    numbers: (name) => batch.numbers(name).subarray(skip),
    texts: (name) => batch.texts(name).slice(skip),
    flags: (name) => batch.flags(name).slice(skip),
    uids: () => batch.uids().subarray(4 * skip),
  };
}
