import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { createEngine, type EngineOptions } from '../../cli/duckdb/engine.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { openPool, type Pool } from '../../src/select/pool.ts';

/** Writes parquets by SQL: name of the file to the SELECT that fills it. `$FOLDER` is not replaced: nothing is read. */
export async function writeParquets(
  folder: string,
  files: { [name: string]: string },
  options = 'COMPRESSION snappy',
): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  for (const [name, select] of Object.entries(files)) {
    const path = join(folder, name).replaceAll("'", "''");
    await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet, ${options})`);
  }
  connection.closeSync();
  instance.closeSync();
}

/** A pool as Node reads it, and what judges predicates over it. */
export async function duckdbPool(folders: string | string[], options: EngineOptions = {}) {
  const engine = createEngine(options);
  const opened = [folders].flat().map((folder) => openFolder(folder, { readOnly: true }));
  const pool: Pool = await openPool(opened, { scanner: engine.scanner }).catch((error) => {
    engine.close();
    throw error;
  });
  return { pool, engine };
}

/** SQL for a uid made of a number. */
export const uidOf = (number: string): string => `lpad(to_hex(${number}), 32, '0')`;
