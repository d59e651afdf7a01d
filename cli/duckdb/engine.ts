import { UsageError } from '../../src/errors.ts';
import type { WhereEngine } from '../../src/select/env.ts';
import {
  type Batch,
  type ColumnRequest,
  makeBatch,
  type PoolFile,
  parquetScanner,
  type Scanner,
  type ScanOptions,
} from '../../src/select/scan.ts';
import { pathIn } from '../io/folder.ts';
import { type Database, openDatabase } from './database.ts';
import { type Joined, type JoinTable, joinTables, openJoins } from './joins.ts';
import { duckdbScanner, type Source } from './scanner.ts';
import { shapesOf } from './schema.ts';
import { judgeWhere } from './where.ts';

export interface EngineOptions {
  /** Parquets, or folders of them, whose columns are added by uid. */
  joins?: readonly string[];
  /** Pools of fewer rows are left to the neutral reader. Default: 100,000. */
  smallest?: number;
  /** What DuckDB may hold, in MB. */
  memoryMb?: number;
  threads?: number;
}

const SMALLEST = 100_000;

/**
 * DuckDB for one pool: a fast scanner, SQL predicates, joined columns. Give `scanner` to `openPool` and `where` to the
 * filters; `notes` then says what should be told of the joins. `close` when done.
 */
export interface Engine {
  scanner(files: readonly PoolFile[]): Promise<Scanner>;
  where: WhereEngine;
  readonly notes: readonly string[];
  close(): void;
}

interface Opened {
  files: readonly PoolFile[];
  database: Database;
  sources: Map<PoolFile, Source>;
  joined: Joined | undefined;
  scanner: Scanner;
}

export function createEngine({ joins = [], smallest, memoryMb, threads }: EngineOptions = {}): Engine {
  let opened: Promise<Opened> | undefined;
  const notes: string[] = [];
  const open = async (files: readonly PoolFile[]): Promise<Opened> => {
    const tables = await openJoins(joins);
    const all = [...files, ...tables.flatMap((table) => table.files)];
    const database = await openDatabase([...pathsOf(all).values()], { memoryMb, threads });
    try {
      return await prepare(files, tables, database, notes);
    } catch (error) {
      database.close();
      throw error;
    }
  };
  const forFiles = (files: readonly PoolFile[]): Promise<Opened> => {
    opened ??= open(files);
    return opened;
  };
  return {
    notes,
    async scanner(files) {
      const rows = files.reduce((sum, file) => sum + file.rows, 0);
      // DuckDB takes a while to load, in which a small pool is read.
      if (joins.length === 0 && rows < (smallest ?? SMALLEST)) return parquetScanner;
      return (await forFiles(files)).scanner;
    },
    where: {
      async test(pool, predicate) {
        const { files, database, sources, joined } = await forFiles(pool.files);
        if (files !== pool.files) throw new UsageError('where: this DuckDB was opened for another pool');
        const connection = await database.connect();
        try {
          return await judgeWhere(connection, files, sources, joined, predicate);
        } finally {
          connection.closeSync();
        }
      },
    },
    close() {
      opened?.then(({ database }) => database.close()).catch(() => undefined);
      opened = undefined;
    },
  };
}

async function prepare(
  files: readonly PoolFile[],
  tables: readonly JoinTable[],
  database: Database,
  notes: string[],
): Promise<Opened> {
  const paths = pathsOf([...files, ...tables.flatMap((table) => table.files)]);
  const sources = await sourcesOf(paths, database);
  const scanner = duckdbScanner(database, sources);
  if (tables.length === 0) return { files, database, sources, joined: undefined, scanner };
  const joined = await joinTables(tables, files, scanner);
  notes.push(...joined.notes);
  return { files, database, sources, joined, scanner: withJoined(scanner, joined) };
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
