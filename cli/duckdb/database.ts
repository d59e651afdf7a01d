/**
 * An in-memory DuckDB that can read the files it was opened for and nothing else: no other file, no network, no
 * extension that is not linked in (parquet and JSON are), no file to spill to, and no way to change that afterwards.
 */
import { availableParallelism } from 'node:os';
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue } from '@duckdb/node-api';

export interface DatabaseOptions {
  /** What DuckDB may hold, in MB. Default: 400; what it gives is streamed, so that it needs little. */
  memoryMb?: number;
  /** Default: the processor's. */
  threads?: number;
}

export interface Database {
  /** Connections run side by side; one runs one query at a time. */
  connect(): Promise<DuckDBConnection>;
  close(): void;
}

export async function openDatabase(
  files: readonly string[],
  { memoryMb = 400, threads = availableParallelism() }: DatabaseOptions = {},
): Promise<Database> {
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${memoryMb}MB`,
    threads: String(threads),
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
    temp_directory: '',
  });
  const setup = await instance.connect();
  // The order matters: nothing can be set after the lock, and no path allowed after access is off.
  await setup.run(`SET allowed_paths = [${files.map(quoteText).join(', ')}]`);
  await setup.run('SET enable_external_access = false');
  await setup.run('SET parquet_metadata_cache = true');
  await setup.run('SET GLOBAL errors_as_json = true');
  await setup.run("SET GLOBAL TimeZone = 'UTC'");
  // A division by zero is NULL: as an infinity or a NaN it would be above every bound.
  await setup.run('SET GLOBAL ieee_floating_point_ops = false');
  await setup.run('SET lock_configuration = true');
  setup.closeSync();
  return { connect: () => instance.connect(), close: () => instance.closeSync() };
}

/** All rows of a small answer, as JSON's values. */
export async function ask(connection: DuckDBConnection, sql: string, values: DuckDBValue[] = []) {
  return (await connection.runAndReadAll(sql, values)).getRowObjectsJson();
}

/** A string in SQL. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A name in SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** What DuckDB said, and where in the query (in bytes), of anything it threw. */
export function readError(error: unknown): { kind: string; message: string; position?: number } {
  const text = error instanceof Error ? error.message : String(error);
  const json = text.indexOf('{');
  if (json >= 0) {
    try {
      const parsed: unknown = JSON.parse(text.slice(json));
      if (typeof parsed === 'object' && parsed !== null && 'exception_message' in parsed) {
        const { exception_type, exception_message, position } = parsed as { [name: string]: unknown };
        return {
          kind: String(exception_type),
          message: String(exception_message),
          ...(position === undefined ? {} : { position: Number(position) }),
        };
      }
    } catch {
      // Not JSON after all.
    }
  }
  return { kind: 'unknown', message: text };
}
