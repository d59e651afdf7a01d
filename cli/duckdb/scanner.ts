/**
 * A pool's columns read by DuckDB: the same values as the neutral reader's in `src/select/scan.ts`, several times as
 * fast. Queries over a few files each run side by side; what comes out keeps the pool's order. Whatever DuckDB does
 * not read as the neutral reader does (uids as bytes, odd types, text that is not UTF-8, damage) is left to that one,
 * whose errors also name file and row.
 *
 * Memory: some batches of 32,768 rows for each query, and what DuckDB holds (see `database.ts`).
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { isShardsieveError } from '../../src/errors.ts';
import {
  type Batch,
  type ColumnRequest,
  isNumeric,
  type PoolFile,
  parquetScanner,
  type Scanner,
  type ScanOptions,
} from '../../src/select/scan.ts';
import { type Database, readError } from './database.ts';
import { inOrder } from './in-order.ts';
import type { Shape } from './schema.ts';
import { expressionOf, readSegment, type Segment } from './segment.ts';

/** Rows of a query, where files are smaller: its cost, some milliseconds, must not count. */
const SEGMENT_ROWS = 400_000;
/** Queries at once. DuckDB makes the chunks of one in one thread, in turn with ours. */
const WIDTH = 2;
/** Kinds of errors that a query has and no file. */
const OURS = new Set(['Binder', 'Parser', 'Catalog', 'Syntax', 'Permission', 'Internal']);
/** Batches that a query may run ahead: as many as it has, so that queries do not wait for one another. */
const AHEAD = 12;

export interface Source {
  path: string;
  shape: Shape;
}

/** `sources` has those of the files that DuckDB may read. */
export function duckdbScanner(database: Database, sources: ReadonlyMap<PoolFile, Source>): Scanner {
  return {
    async *scan(files, requests, options = {}) {
      const parts = cut(files, requests, sources, options);
      if (parts.length === 0) return;
      const connections: DuckDBConnection[] = [];
      try {
        while (connections.length < Math.min(WIDTH, parts.length)) connections.push(await database.connect());
        yield* inOrder(
          parts.length,
          (i) => readPart(connections[i % connections.length], parts[i], requests, options),
          { width: connections.length, ahead: AHEAD },
        );
      } finally {
        for (const connection of connections) connection.closeSync();
      }
    },
  };
}

/** Either a segment or a file for the neutral reader. */
type Part = { segment: Segment } | { file: PoolFile };

function cut(
  files: readonly PoolFile[],
  requests: readonly ColumnRequest[],
  sources: ReadonlyMap<PoolFile, Source>,
  { only }: ScanOptions,
): Part[] {
  const parts: Part[] = [];
  let rows = 0;
  let open: Segment | undefined;
  for (const file of files) {
    if (file.rows === 0 || (only && !only.any(file.start, file.start + file.rows))) {
      open = undefined;
      continue;
    }
    const source = sources.get(file);
    if (source === undefined || !requests.every((request) => isReadable(request, file, source.shape))) {
      parts.push({ file });
      open = undefined;
      continue;
    }
    if (open === undefined || open.shape !== source.shape || rows + file.rows > SEGMENT_ROWS) {
      open = { files: [], shape: source.shape };
      parts.push({ segment: open });
      rows = 0;
    }
    open.files.push({ file, path: source.path });
    rows += file.rows;
  }
  return parts;
}

/** Whether DuckDB gives what the neutral reader does; a float16, say, it takes for a number and that one does not. */
function isReadable(request: ColumnRequest, { parquet }: PoolFile, shape: Shape): boolean {
  const column = parquet.columns.find(({ name }) => name === request.name);
  if (request.as === 'number' && (column === undefined || !isNumeric(column))) return false;
  return expressionOf(request, shape) !== undefined;
}

async function* readPart(
  connection: DuckDBConnection,
  part: Part,
  requests: readonly ColumnRequest[],
  options: ScanOptions,
): AsyncGenerator<Batch> {
  if ('file' in part) {
    yield* parquetScanner.scan([part.file], requests, options);
    return;
  }
  const files = part.segment.files.map(({ file }) => file);
  let done = files[0].start;
  try {
    for await (const batch of readSegment(connection, part.segment, requests, options)) {
      yield batch;
      done = batch.start + batch.rows;
    }
  } catch (error) {
    if (isShardsieveError(error) || options.signal?.aborted || OURS.has(readError(error).kind)) throw error;
    const rest = files.filter((file) => file.start + file.rows > done);
    for await (const batch of parquetScanner.scan(rest, requests, options)) {
      if (batch.start + batch.rows > done) yield from(batch, Math.max(0, done - batch.start));
    }
  }
}

/** A batch without its first rows. */
function from(batch: Batch, skip: number): Batch {
  if (skip === 0) return batch;
  const numbers = (name: string) => batch.numbers(name).subarray(skip);
  return {
    file: batch.file,
    start: batch.start + skip,
    rows: batch.rows - skip,
    numbers,
    texts: (name) => batch.texts(name).slice(skip),
    flags: (name) => batch.flags(name).slice(skip),
    uids: () => batch.uids().subarray(4 * skip),
  };
}
