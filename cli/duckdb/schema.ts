import type { DuckDBConnection } from '@duckdb/node-api';
import { ask, quoteText } from './database.ts';

/** A column at the top of a parquet, as DuckDB reads it. */
export interface DuckColumn {
  name: string;
  /** `DOUBLE`, `VARCHAR`, `DOUBLE[][]`, … */
  type: string;
}

/** Files that have the same columns of the same types, so that one query reads them without any cast. */
export interface Shape {
  columns: DuckColumn[];
  /** Indexes into the paths given. */
  files: number[];
}

/** A file as DuckDB finds it. */
export interface Source {
  path: string;
  shape: Shape;
}

/**
 * SQL for where a row comes from: the file's index in the list that is read in the high 32 bits of a BIGINT, its row
 * there in the low ones.
 */
export const PLACE = 'CAST(file_index AS BIGINT) * 4294967296 + file_row_number';
/** What that is called beside a file's own columns, and what a predicate's answer is: names that none of them has. */
export const PLACE_NAME = '"shardsieve:place"';
export const VERDICT_NAME = '"shardsieve:verdict"';
/** Names by which DuckDB tells where a row comes from; a file's own column of that name hides it. */
const VIRTUAL = new Set(['file_index', 'file_row_number']);

/** The column that makes it impossible to tell where a file's rows come from, if there is one. */
export function hidesPlace({ columns }: Shape): string | undefined {
  return columns.find(({ name }) => VIRTUAL.has(name.toLowerCase()))?.name;
}

/** Files asked about at once. */
const BATCH = 500;

/**
 * Groups files by their columns. Two files share a shape when DuckDB gives both the same names and types; a file that
 * it cannot open is in none.
 */
export async function shapesOf(connection: DuckDBConnection, paths: readonly string[]): Promise<Shape[]> {
  const shapes = new Map<string, Shape>();
  for (let first = 0; first < paths.length; first += BATCH) {
    const batch = paths.slice(first, first + BATCH);
    const keys = await keysOf(connection, batch);
    for (const [i, path] of batch.entries()) {
      const key = keys.get(path);
      if (key === undefined) continue;
      const shape = shapes.get(key) ?? { columns: await columnsOf(connection, path), files: [] };
      shape.files.push(first + i);
      shapes.set(key, shape);
    }
  }
  return [...shapes.values()];
}

/** What tells files of one shape from others, by path. */
async function keysOf(connection: DuckDBConnection, paths: readonly string[]): Promise<Map<string, string>> {
  try {
    const rows = await ask(
      connection,
      `SELECT file_name, to_json([name, type, type_length::VARCHAR, repetition_type, num_children::VARCHAR, converted_type, logical_type]) AS element
       FROM parquet_schema([${paths.map(quoteText).join(', ')}])`,
    );
    const keys = new Map<string, string>();
    for (const { file_name, element } of rows) {
      keys.set(String(file_name), `${keys.get(String(file_name)) ?? ''},${String(element)}`);
    }
    return keys;
  } catch {
    if (paths.length <= 1) return new Map();
    const half = paths.length >>> 1;
    const parts = [
      await keysOf(connection, paths.slice(0, half)),
      await keysOf(connection, paths.slice(half)),
    ];
    return new Map(parts.flatMap((part) => [...part]));
  }
}

async function columnsOf(connection: DuckDBConnection, path: string): Promise<DuckColumn[]> {
  const rows = await ask(connection, `DESCRIBE SELECT * FROM read_parquet(${quoteText(path)})`);
  return rows.map(({ column_name, column_type }) => ({
    name: String(column_name),
    type: String(column_type),
  }));
}
