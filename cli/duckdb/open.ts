/** Everything that loads DuckDB: imported by `engine.ts` when it is first needed. */
import { CancelledError, UsageError } from '../../src/errors.ts';
import {
  type Batch,
  type ColumnRequest,
  makeBatch,
  type PoolFile,
  type Scanner,
  type ScanOptions,
} from '../../src/select/scan.ts';
import type { Verdict } from '../../src/select/types.ts';
import { pathIn } from '../io/folder.ts';
import { type Database, openDatabase } from './database.ts';
import type { EngineOptions } from './engine.ts';
import { type Joined, joinTables, openJoins } from './joins.ts';
import { type Source, shapesOf } from './schema.ts';
import { judgeWhere } from './where.ts';

/** DuckDB opened for the files of one pool. */
export interface Opened {
  files: readonly PoolFile[];
  scanner: Scanner;
  /** What should be told of the joins. */
  notes: string[];
  test(predicate: string, signal?: AbortSignal): Promise<Verdict>;
  close(): void;
}

export async function open(
  files: readonly PoolFile[],
  scanner: Scanner,
  { joins = [], memoryMb, threads }: EngineOptions,
): Promise<Opened> {
  const tables = await openJoins(joins);
  const paths = pathsOf([...files, ...tables.flatMap((table) => table.files)]);
  const database = await openDatabase([...paths.values()], { memoryMb, threads });
  try {
    const sources = await sourcesOf(paths, database);
    const joined = tables.length === 0 ? undefined : await joinTables(tables, files, scanner);
    return {
      files,
      scanner: joined === undefined ? scanner : withJoined(scanner, joined),
      notes: joined?.notes ?? [],
      async test(predicate, signal) {
        const connection = await database.connect();
        // Waiting for the next chunk may take long, where few rows are kept.
        const interrupt = () => connection.interrupt();
        signal?.addEventListener('abort', interrupt);
        try {
          return await judgeWhere(connection, files, sources, joined, predicate, signal);
        } catch (error) {
          throw signal?.aborted ? new CancelledError() : error;
        } finally {
          signal?.removeEventListener('abort', interrupt);
          connection.closeSync();
        }
      },
      close: () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Paths of the files that lie in directories. */
function pathsOf(files: readonly PoolFile[]): Map<PoolFile, string> {
  const paths = new Map<PoolFile, string>();
  for (const file of files) {
    const path = pathIn(file.folder, `${file.shard}.parquet`);
    if (path !== undefined) paths.set(file, path);
  }
  return paths;
}

async function sourcesOf(
  paths: ReadonlyMap<PoolFile, string>,
  database: Database,
): Promise<Map<PoolFile, Source>> {
  const connection = await database.connect();
  try {
    const files = [...paths.keys()];
    const all = [...paths.values()];
    const sources = new Map<PoolFile, Source>();
    for (const shape of await shapesOf(connection, all)) {
      for (const i of shape.files) sources.set(files[i], { path: all[i], shape });
    }
    return sources;
  } finally {
    connection.closeSync();
  }
}

/** A scanner that also has joined columns. */
function withJoined(scanner: Scanner, joined: Joined): Scanner {
  return {
    joined: joined.columns,
    async *scan(files, requests, options) {
      const added = requests.filter(({ name }) => joined.columns.some((column) => column.name === name));
      if (added.length === 0) {
        yield* scanner.scan(files, requests, options);
        return;
      }
      const own = requests.filter((request) => !added.includes(request));
      const batches = own.length === 0 ? rowsOf(files, options) : scanner.scan(files, own, options);
      for await (const batch of batches) yield await extend(batch, own, added, joined);
    },
  };
}

async function extend(
  batch: Batch,
  own: readonly ColumnRequest[],
  added: readonly ColumnRequest[],
  joined: Joined,
): Promise<Batch> {
  const { file, start, rows } = batch;
  const values = new Map<string, unknown>();
  for (const { name, as } of own) {
    if (as === 'number') values.set(`number:${name}`, batch.numbers(name));
    else if (as === 'text') values.set(`text:${name}`, batch.texts(name));
    else if (as === 'flag') values.set(`flag:${name}`, batch.flags(name));
    else values.set('uid', batch.uids());
  }
  for (const { name, as } of added) {
    const column = joined.columns.find((one) => one.name === name)!;
    if (column.as !== as) {
      throw new UsageError(`${name} is ${column.type}, not ${as === 'number' ? 'a number' : as}`, {
        column: name,
      });
    }
    values.set(`${as}:${name}`, await joined.values(name, start, rows));
  }
  return makeBatch(file, start, rows, values);
}

/** Batches without columns. */
async function* rowsOf(files: readonly PoolFile[], options: ScanOptions = {}): AsyncGenerator<Batch> {
  for (const file of files) {
    for (let row = 0; row < file.rows; row += 32768) {
      const rows = Math.min(32768, file.rows - row);
      options.signal?.throwIfAborted();
      yield makeBatch(file, file.start + row, rows, new Map());
    }
  }
}
