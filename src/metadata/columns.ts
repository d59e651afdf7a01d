import { AccountingError, UsageError } from '../errors.ts';
import type { ClipColumns, Json, Row } from './table.ts';

/** A column as it lies in a parquet, in the order of the shard's rows. */
export type Column =
  | { name: string; type: 'string'; values: (string | null)[] }
  | { name: string; type: 'int'; values: (number | null)[] }
  | { name: string; type: 'bool'; values: (boolean | null)[] }
  | { name: string; type: 'float'; values: Float32Array | (number | null)[] }
  | { name: string; type: 'double'; values: Float64Array | (number | null)[] }
  | { name: string; type: 'boxes'; values: (number[][] | null)[] };

/** Columns that one step of the pipeline adds, such as a safety head's; `name` is the group's in `_stats.json`. */
export interface ColumnGroup {
  name: string;
  columns: Column[];
}

/** DataComp's columns, in the order in which they are written. */
export const ROW_COLUMNS = [
  'uid',
  'key',
  'url',
  'text',
  'original_width',
  'original_height',
  'sha256',
  'face_bboxes',
] as const;

/** `clip_<slug>_similarity_score`, DataComp's name for a model's score. */
export function scoreColumn(slug: string): string {
  return `clip_${slug}_similarity_score`;
}

/** The slug in a score column's name, or `undefined` where it is not one. */
export function slugOf(column: string): string | undefined {
  return /^clip_([a-z0-9_]+)_similarity_score$/.exec(column)?.[1];
}

/** The name of a model's column group in `_stats.json`. */
export function clipGroup(slug: string): string {
  return `clip:${slug}`;
}

/** Whether a row's score was computed again in fp32 (`refined.ts`). */
export function refinedColumn(slug: string): string {
  return `clip_${slug}_refined`;
}

/** The score that a refined row had before; null in the other rows. */
export function unrefinedColumn(slug: string): string {
  return `clip_${slug}_unrefined_score`;
}

/** The group of both in `_stats.json` and `run.json`. */
export function refineGroup(slug: string): string {
  return `refine:${slug}`;
}

/** The columns of what is known without a model: DataComp's, then the carried ones in the order of their names. */
export function rowColumns(rows: readonly Row[]): Column[] {
  const carried = new Set<string>();
  for (const row of rows) for (const field of Object.keys(row.carried)) carried.add(field);
  return [
    { name: 'uid', type: 'string', values: rows.map((row) => row.uid) },
    { name: 'key', type: 'string', values: rows.map((row) => row.key) },
    { name: 'url', type: 'string', values: rows.map((row) => row.url) },
    { name: 'text', type: 'string', values: rows.map((row) => row.text) },
    { name: 'original_width', type: 'int', values: rows.map((row) => row.original_width) },
    { name: 'original_height', type: 'int', values: rows.map((row) => row.original_height) },
    { name: 'sha256', type: 'string', values: rows.map((row) => row.sha256) },
    { name: 'face_bboxes', type: 'boxes', values: rows.map((row) => row.face_bboxes) },
    ...[...carried].sort().map((field) =>
      inferColumn(
        field,
        rows.map((row) => row.carried[field] ?? null),
      ),
    ),
  ];
}

/** One float32 column a model, by slug: the order does not depend on which model came first. */
export function clipColumns(clips: readonly ClipColumns[], rows: number): Column[] {
  return [...clips]
    .sort((a, b) => (a.slug < b.slug ? -1 : 1))
    .map(({ slug, scores }) => {
      if (scores.length !== rows) {
        throw new AccountingError(`${scores.length} scores for ${rows} rows`, { column: scoreColumn(slug) });
      }
      return { name: scoreColumn(slug), type: 'float', values: scores };
    });
}

/**
 * The narrowest type that holds every value: int64, double, bool, string; anything else becomes JSON text.
 * A column of nothing but nulls is a string column.
 */
export function inferColumn(name: string, values: Json[]): Column {
  const integers = all(values, (value) => Number.isSafeInteger(value), Number);
  // A safe integer is one that survived JSON's trip through a double.
  if (integers) return { name, type: 'int', values: integers };
  const numbers = all(values, (value) => typeof value === 'number', Number);
  if (numbers) return { name, type: 'double', values: numbers };
  const bools = all(values, (value) => typeof value === 'boolean', Boolean);
  if (bools) return { name, type: 'bool', values: bools };
  const text = (value: Json) => (typeof value === 'string' ? value : JSON.stringify(value));
  return { name, type: 'string', values: values.map((value) => (value === null ? null : text(value))) };
}

function all<T>(
  values: Json[],
  is: (value: Json) => boolean,
  cast: (value: Json) => T,
): (T | null)[] | undefined {
  if (!values.every((value) => value === null || is(value))) return undefined;
  return values.some((value) => value !== null)
    ? values.map((value) => (value === null ? null : cast(value)))
    : undefined;
}

/** Refuses two columns of one name, which a carried field can cause. */
export function checkNames(columns: readonly Column[]): void {
  const seen = new Set<string>();
  for (const { name } of columns) {
    if (seen.has(name)) {
      throw new UsageError(`two columns would be called ${name}`, {
        column: name,
        hint: 'Shardsieve writes a column of that name itself; leave it out of --carry',
      });
    }
    seen.add(name);
  }
}
