import type { DuckDBConnection } from '@duckdb/node-api';
import { MetadataError, UsageError } from '../../src/errors.ts';
import { RowMask } from '../../src/select/mask.ts';
import type { PoolFile } from '../../src/select/scan.ts';
import type { Verdict } from '../../src/select/types.ts';
import { quoteName, quoteText } from './database.ts';
import { appendJoined, type Joined } from './joins.ts';
import { asItem, checkPredicate, predicateError } from './predicate.ts';
import { hidesPlace, PLACE, PLACE_NAME, type Shape, type Source, VERDICT_NAME } from './schema.ts';
import { chunks } from './stream.ts';
import { booleans, integerPairs, isNull, validity } from './vectors.ts';

/** Files of one query. */
const FILES = 256;
/** With joined columns, rows of one query: so many of the joined values lie in DuckDB at a time. */
const JOINED_ROWS = 1_000_000;

/**
 * Judges every row of the files by a SQL predicate; where it is NULL, the row is unjudged.
 *
 * Each file's columns have their own types, as DataComp compares them: a number written `0.24` is compared with a
 * FLOAT column as the FLOAT nearest to it. A NaN is NULL, because no comparison with it means anything (SQL would
 * call it larger than all numbers); a column that a file does not have is NULL there.
 */
export async function judgeWhere(
  connection: DuckDBConnection,
  files: readonly PoolFile[],
  sources: ReadonlyMap<PoolFile, Source>,
  joined: Joined | undefined,
  text: string,
  signal?: AbortSignal,
): Promise<Verdict> {
  const shapes = groupByShape(files, sources);
  const types = new Map<string, string>();
  for (const { columns } of shapes.keys())
    for (const { name, type } of columns) types.set(name, types.get(name) ?? type);
  const ofJoin = new Set(joined?.columns.map(({ name }) => name));
  const names = [...new Set([...types.keys(), ...ofJoin])].sort();
  const { columns } = await checkPredicate(connection, text, names);
  checkCurrent(files, sources, columns);
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const verdict = { keep: new RowMask(rows), unjudged: new RowMask(rows) };
  for (const [shape, members] of shapes) {
    const own = columns.filter((name) => !ofJoin.has(name));
    const items = own.map((name) => itemOf(name, shape, types.get(name)!));
    const needed = columns.filter((name) => ofJoin.has(name));
    for (const part of partsOf(members, needed.length > 0)) {
      signal?.throwIfAborted();
      if (joined && needed.length > 0) await appendJoined(connection, joined, needed, part);
      await judgePart(connection, { files: part, sources, items, joined: needed, text }, verdict);
    }
  }
  return verdict;
}

/** Throws `MetadataError` where a column lies in a file whose pool does not count it: it is of an earlier state. */
function checkCurrent(
  files: readonly PoolFile[],
  sources: ReadonlyMap<PoolFile, Source>,
  used: readonly string[],
): void {
  for (const file of files) {
    const known = new Set(file.parquet.columns.map(({ name }) => name));
    const lies = (name: string) => sources.get(file)!.shape.columns.some((column) => column.name === name);
    const column = used.find((name) => !known.has(name) && lies(name));
    if (column === undefined) continue;
    throw new MetadataError(`${column} is not made of all that other files have it made of`, {
      file: file.name,
      column,
      hint: 'Run the annotate that was interrupted again, over all shards',
    });
  }
}

interface Query {
  files: PoolFile[];
  sources: ReadonlyMap<PoolFile, Source>;
  /** Columns of the files, as items of a SELECT. */
  items: string[];
  /** Columns of the table that `appendJoined` makes. */
  joined: string[];
  text: string;
}

async function judgePart(
  connection: DuckDBConnection,
  query: Query,
  { keep, unjudged }: Verdict,
): Promise<void> {
  const { files, text } = query;
  const paths = files.map((file) => quoteText(query.sources.get(file)!.path)).join();
  const items = query.items.map((item) => `, ${item}`).join('');
  const pool = `SELECT ${PLACE} AS ${PLACE_NAME}${items} FROM read_parquet([${paths}])`;
  const relation =
    query.joined.length === 0
      ? `(${pool}) AS pool`
      : `(SELECT * FROM (${pool}) JOIN joined USING (${PLACE_NAME})) AS pool`;
  // The predicate comes first, so that places in errors are places in it.
  const sql = `SELECT ${asItem(text)} AS ${VERDICT_NAME}, ${PLACE_NAME} FROM ${relation}`;
  const file = files.length === 1 ? files[0].name : undefined;
  let onRows = false;
  try {
    const prepared = await connection.prepare(sql);
    const type = prepared.columnType(0);
    prepared.destroySync();
    if (type.toString() !== 'BOOLEAN') {
      throw new UsageError(`where: the predicate is ${type.toString()}, not true or false`, {
        hint: 'Compare it with something, as in: text IS NOT NULL AND original_width >= 200',
      });
    }
    const kept = `SELECT ${VERDICT_NAME}, ${PLACE_NAME} FROM (${sql}) WHERE ${VERDICT_NAME} IS DISTINCT FROM false`;
    onRows = true;
    for await (const chunk of chunks(connection, kept)) {
      const isKept = booleans(chunk, 0);
      const bits = validity(chunk, 0);
      const places = integerPairs(chunk, 1);
      for (let i = 0; i < chunk.rowCount; i++) {
        const inPool = files[places[2 * i + 1]].start + places[2 * i];
        if (isNull(bits, i)) unjudged.set(inPool);
        else if (isKept[i] !== 0) keep.set(inPool);
      }
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw predicateError(text, error, { file, onRows });
  }
}

/** A column as the predicate sees it. */
function itemOf(name: string, { columns }: Shape, otherwise: string): string {
  const column = quoteName(name);
  const type = columns.find((found) => found.name === name)?.type;
  if (type === undefined) return `CAST(NULL AS ${otherwise}) AS ${column}`;
  if (type === 'FLOAT' || type === 'DOUBLE')
    return `CASE WHEN NOT isnan(${column}) THEN ${column} END AS ${column}`;
  return column;
}

function partsOf(files: readonly PoolFile[], withJoined: boolean): PoolFile[][] {
  const parts: PoolFile[][] = [];
  let rows = 0;
  for (const file of files) {
    const last = parts.at(-1);
    const isFull =
      last === undefined || last.length === FILES || (withJoined && rows + file.rows > JOINED_ROWS);
    if (isFull) {
      parts.push([file]);
      rows = 0;
    } else last.push(file);
    rows += file.rows;
  }
  return parts;
}

function groupByShape(
  files: readonly PoolFile[],
  sources: ReadonlyMap<PoolFile, Source>,
): Map<Shape, PoolFile[]> {
  const shapes = new Map<Shape, PoolFile[]>();
  for (const file of files) {
    const source = sources.get(file);
    if (source === undefined) {
      throw new UsageError('where: SQL predicates need metadata in files on this machine', {
        file: file.name,
      });
    }
    const hiding = hidesPlace(source.shape);
    if (hiding !== undefined) {
      throw new UsageError(`where: DuckDB keeps the name ${hiding} for itself`, {
        file: file.name,
        column: hiding,
        hint: 'Rename the column to use predicates; other filters work',
      });
    }
    const members = shapes.get(source.shape) ?? [];
    members.push(file);
    shapes.set(source.shape, members);
  }
  return shapes;
}
