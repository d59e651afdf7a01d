/**
 * Columns that are added to a pool by uid. A joined table's uids are matched with the pool's once, which leaves one
 * number a row of the pool; its columns are read when they are first asked for.
 *
 * Memory: while matching, 16 bytes and a place in a hash table (8 to 16 bytes) for each uid of the table; then 4 bytes
 * for each row of the pool and a column's values.
 */
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  type DuckDBConnection,
  DuckDBDataChunk,
  FLOAT,
  VARCHAR,
} from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { MetadataError, messageOf, UsageError } from '../../src/errors.ts';
import { openParquet, type ParquetColumn } from '../../src/metadata/parquet-read.ts';
import {
  type Batch,
  type ColumnKind,
  isNumeric,
  type Numbers,
  type PoolFile,
  type Scanner,
} from '../../src/select/scan.ts';
import { formatUid, type Uids } from '../../src/uids/uids.ts';
import { openFolder } from '../io/folder.ts';
import { quoteName } from './database.ts';
import { PLACE_NAME } from './schema.ts';
import { UidMap } from './uid-map.ts';

/** A parquet, or a folder of parquets of the same columns, to join by its column `uid`. */
export interface JoinTable {
  /** As the user named it. */
  name: string;
  files: PoolFile[];
  rows: number;
}

export interface JoinedColumn extends ParquetColumn {
  as: Exclude<ColumnKind, 'uid'>;
}

type Column = Numbers | (string | null)[] | (boolean | null)[];

/** Columns of one or more tables, by the rows of the pool. */
export interface Joined {
  columns: JoinedColumn[];
  /** What should be said: rows of the pool that a table does not have. */
  notes: string[];
  /** Values of rows `[start, start + rows)` of the pool; NaN or null where the table has no such uid. */
  values(name: string, start: number, rows: number): Promise<Column>;
}

const KINDS: { [type: string]: JoinedColumn['as'] } = {
  FLOAT: 'number',
  DOUBLE: 'number',
  INT32: 'number',
  INT64: 'number',
  BYTE_ARRAY: 'text',
  BOOLEAN: 'flag',
};

/** Opens what `--join` names. Throws `UsageError` where it is not there, `MetadataError` where it has no `uid`. */
export async function openJoins(paths: readonly string[]): Promise<JoinTable[]> {
  const tables: JoinTable[] = [];
  for (const path of paths) {
    const found = await stat(path).catch((cause: unknown) => {
      throw new UsageError(`the table to join cannot be read: ${messageOf(cause)}`, { file: path, cause });
    });
    const folder = openFolder(found.isDirectory() ? path : dirname(path), { readOnly: true });
    const names = found.isDirectory()
      ? (await folder.list()).filter((name) => name.endsWith('.parquet'))
      : [basename(path)];
    const files: PoolFile[] = [];
    let start = 0;
    for (const name of names) {
      const parquet = await openParquet(folder, name);
      const label = `${folder.label}/${name}`;
      files.push({
        ...{ name: label, folder, shard: name.replace(/\.parquet$/, ''), start, rows: parquet.rows },
        parquet: { ...parquet, name: label },
      });
      start += parquet.rows;
    }
    if (files.length === 0) throw new UsageError('no .parquet file to join here', { file: path });
    for (const { name, parquet } of files) {
      if (parquet.columns.some((column) => column.name === 'uid')) continue;
      throw new MetadataError('no column uid to join by', {
        file: name,
        column: 'uid',
        hint: `It needs one, 32 hex digits a row; it has ${parquet.columns.map((column) => column.name).join(', ')}`,
      });
    }
    tables.push({ name: path, files, rows: start });
  }
  return tables;
}

/**
 * Matches tables with the pool. Throws `MetadataError` at a uid that is none or occurs twice in a table, `UsageError`
 * at a column that the pool or another table has too.
 */
export async function joinTables(
  tables: readonly JoinTable[],
  pool: readonly PoolFile[],
  scanner: Scanner,
): Promise<Joined> {
  const taken = new Map<string, string>(
    pool.flatMap((file) => file.parquet.columns.map(({ name }) => [name.toLowerCase(), 'the metadata'])),
  );
  const columns: JoinedColumn[] = [];
  const notes: string[] = [];
  const readers = new Map<string, (start: number, rows: number) => Promise<Column>>();
  for (const table of tables) {
    const own = columnsOf(table);
    const left = table.files[0].parquet.columns.filter(
      ({ name }) => name !== 'uid' && !own.some((column) => column.name === name),
    );
    if (left.length > 0) {
      const names = left.map(({ name }) => name).join(', ');
      notes.push(`${table.name}: not joined, being neither numbers, text nor flags: ${names}`);
    }
    for (const column of own) {
      const other = taken.get(column.name.toLowerCase());
      if (other !== undefined) {
        throw new UsageError(`column ${column.name} is in ${other} too`, {
          file: table.name,
          column: column.name,
          hint: 'Rename it in the table that is joined',
        });
      }
      taken.set(column.name.toLowerCase(), table.name);
    }
    const places = await match(table, pool, scanner);
    const missing = places.reduce((sum, place) => sum + (place < 0 ? 1 : 0), 0);
    if (missing > 0) {
      notes.push(
        `${table.name}: ${missing} of ${places.length} rows have no such uid there; its columns are empty for them`,
      );
    }
    for (const column of own) {
      let values: Promise<Column> | undefined;
      readers.set(column.name, async (start, rows) => {
        values ??= readAll(table, column, scanner);
        return gather(await values, places.subarray(start, start + rows));
      });
    }
    columns.push(...own);
  }
  return { columns, notes, values: (name, start, rows) => readers.get(name)!(start, rows) };
}

function columnsOf({ name, files }: JoinTable): JoinedColumn[] {
  const [{ parquet }] = files;
  const shown = (columns: readonly ParquetColumn[]) =>
    columns.map((column) => `${column.name} ${column.type}`).join(', ');
  for (const other of files) {
    if (shown(other.parquet.columns) === shown(parquet.columns)) continue;
    throw new MetadataError(`other columns than ${files[0].name}: ${shown(other.parquet.columns)}`, {
      file: other.name,
      hint: 'The parquets of a joined folder are one table; give tables that differ one --join each',
    });
  }
  const columns = parquet.columns.flatMap((column) => {
    const as = KINDS[column.type];
    const isOther = column.name === 'uid' || as === undefined || (as === 'number' && !isNumeric(column));
    return isOther ? [] : [{ ...column, as }];
  });
  if (columns.length > 0) return columns;
  throw new MetadataError('nothing to join: no column of numbers, text or flags beside uid', { file: name });
}

/** For every row of the pool, the row of the table that has its uid, or −1. */
async function match(table: JoinTable, pool: readonly PoolFile[], scanner: Scanner): Promise<Int32Array> {
  const uids: Uids = new BigUint64Array(2 * table.rows);
  const words = new Uint32Array(uids.buffer);
  const map = new UidMap(words, table.rows);
  for await (const batch of scanner.scan(table.files, [{ name: 'uid', as: 'uid' }])) {
    words.set(batch.uids(), 4 * batch.start);
    for (let row = 0; row < batch.rows; row++) {
      const other = map.add(batch.start + row);
      if (other < 0) continue;
      const { file, start } = batch;
      throw new MetadataError(
        `uid ${formatUid(uids, other)} occurs twice, the second time in row ${start - file.start + row}`,
        { file: file.name, column: 'uid', hint: 'A table to join has one row for a uid' },
      );
    }
  }
  const rows = pool.reduce((sum, file) => sum + file.rows, 0);
  const places = new Int32Array(rows);
  for await (const batch of scanner.scan(pool, [{ name: 'uid', as: 'uid' }])) {
    const these = batch.uids();
    for (let row = 0; row < batch.rows; row++) places[batch.start + row] = map.find(these, row);
  }
  return places;
}

/** Decimals are stored as integers too. */
function isInteger({ type, logical }: JoinedColumn): boolean {
  return type.startsWith('INT') && logical !== 'DECIMAL';
}

/** Integers are held as doubles, which have all of them up to 2^53. */
function checkExact(numbers: Numbers, { file, start }: Batch, column: string): void {
  const row = numbers.findIndex((value) => !Number.isNaN(value) && !Number.isSafeInteger(value));
  if (row < 0) return;
  throw new MetadataError(`row ${start - file.start + row} holds an integer above 2^53`, {
    file: file.name,
    column,
    hint: 'Store such a column as text; a join holds integers up to 9007199254740991 exactly',
  });
}

async function readAll({ files, rows }: JoinTable, column: JoinedColumn, scanner: Scanner): Promise<Column> {
  const { name, type, as } = column;
  const request = [{ name, as }];
  if (as === 'number') {
    const values = type === 'FLOAT' ? new Float32Array(rows) : new Float64Array(rows);
    for await (const batch of scanner.scan(files, request)) {
      const numbers = batch.numbers(name);
      if (isInteger(column)) checkExact(numbers, batch, name);
      values.set(numbers, batch.start);
    }
    return values;
  }
  if (as === 'flag') {
    const values: (boolean | null)[] = [];
    for await (const batch of scanner.scan(files, request))
      for (const flag of batch.flags(name)) values.push(flag);
    return values;
  }
  const values: (string | null)[] = [];
  for await (const batch of scanner.scan(files, request))
    for (const text of batch.texts(name)) values.push(text);
  return values;
}

function gather(values: Column, places: Int32Array): Column {
  if (Array.isArray(values)) {
    const out: (string | boolean | null)[] = [];
    for (const place of places) out.push(place < 0 ? null : values[place]);
    return out as (string | null)[] | (boolean | null)[];
  }
  const out =
    values instanceof Float32Array ? new Float32Array(places.length) : new Float64Array(places.length);
  for (let i = 0; i < places.length; i++) out[i] = places[i] < 0 ? Number.NaN : values[places[i]];
  return out;
}

/**
 * Makes the view `joined` of the named columns for the rows of these files: `PLACE_NAME` is as in `schema.ts`, and numbers
 * that are not there are NULL.
 */
export async function appendJoined(
  connection: DuckDBConnection,
  joined: Joined,
  names: readonly string[],
  files: readonly PoolFile[],
): Promise<void> {
  const columns = names.map((name) => joined.columns.find((column) => column.name === name)!);
  const types = columns.map(({ as, type }) =>
    as === 'text' ? VARCHAR : as === 'flag' ? BOOLEAN : type === 'FLOAT' ? FLOAT : DOUBLE,
  );
  const fields = columns.map(({ name }, i) => `${quoteName(name)} ${types[i].toString()}`);
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE joined_values (${PLACE_NAME} BIGINT, ${fields.join(', ')})`,
  );
  const appender = await connection.createAppender('joined_values');
  for (const [index, file] of files.entries()) {
    const values: Column[] = [];
    for (const { name } of columns) values.push(await joined.values(name, file.start, file.rows));
    for (let row = 0; row < file.rows; row += 2048) {
      const rows = Math.min(2048, file.rows - row);
      const chunk = DuckDBDataChunk.create([BIGINT, ...types], rows);
      copyIn(
        chunk,
        0,
        Int32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? row + i / 2 : index)),
      );
      values.forEach((column, i) => {
        if (Array.isArray(column)) chunk.setColumnValues(i + 1, column.slice(row, row + rows));
        else copyIn(chunk, i + 1, column.subarray(row, row + rows));
      });
      appender.appendDataChunk(chunk);
    }
  }
  appender.closeSync();
  const items = columns.map((joinedColumn) => {
    const column = quoteName(joinedColumn.name);
    if (joinedColumn.as !== 'number') return column;
    const value = isInteger(joinedColumn) ? `CAST(${column} AS BIGINT)` : column;
    return `CASE WHEN NOT isnan(${column}) THEN ${value} END AS ${column}`;
  });
  await connection.run(
    `CREATE OR REPLACE TEMP VIEW joined AS SELECT ${PLACE_NAME}, ${items.join(', ')} FROM joined_values`,
  );
}

function copyIn(
  chunk: DuckDBDataChunk,
  column: number,
  values: Int32Array | Float32Array | Float64Array,
): void {
  const vector = duckdb.data_chunk_get_vector(chunk.chunk, column);
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  duckdb.copy_data_to_vector(vector, 0, bytes.buffer, 0, bytes.byteLength);
}
