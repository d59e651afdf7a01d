/**
 * One pass over a pool that counts what thresholds on safety columns remove, how the heads agree, and whom it hits.
 *
 * Memory does not grow with the rows: 80 kB a measure for the curve, counts for groups, and 100,000 rows drawn evenly for
 * rank correlation. All counts are of every row.
 */
import { TAG_COLUMN, TAGS } from '../annotate/punsafe.ts';
import type { Pool } from '../select/pool.ts';
import type { ColumnRequest } from '../select/scan.ts';
import { EvenDraw } from './draw.ts';
import { findGroupings, Grouping } from './groups.ts';
import { Histogram } from './histogram.ts';
import { type Measures, valuesOf } from './measures.ts';
import { Agreement, judge } from './states.ts';

/** At which the standard error of a rank correlation is 0.003. */
const SAMPLE = 100_000;

/** Looks at every row as it passes; `values` and `states` are by measure. */
export interface Watcher {
  add(start: number, values: readonly ArrayLike<number>[], states: readonly Uint8Array[], rows: number): void;
}

export interface Measured {
  histograms: Histogram[];
  /** Removed rows, by measure and level. */
  totals: Float64Array[];
  agreement: Agreement;
  /** By head, in the order of `agreement.heads`: the rows drawn for rank correlation. */
  sample: Float64Array[];
  groupings: Grouping[];
  /** Rows by tag, null for what is none, as for `select --safe`; `undefined` where there is no column of them. */
  tags: Map<string | null, number> | undefined;
}

export interface MeasureOptions {
  /** Columns to group by, beside language, size and caption length. */
  by: readonly string[];
  watchers: readonly Watcher[];
  notes: string[];
  onProgress?: (share: number) => void;
  signal?: AbortSignal;
}

export async function measurePool(
  pool: Pool,
  { measures, levels }: Measures,
  options: MeasureOptions,
): Promise<Measured> {
  const heads = [...measures.keys()].filter((place) => measures[place].isHead);
  const histograms = measures.map(({ isCount }) => new Histogram(isCount));
  const totals = measures.map(() => new Float64Array(levels.length));
  const agreement = new Agreement(heads, levels.length);
  const groupings = findGroupings(pool, options.by, options.notes).map(
    (kind) => new Grouping(kind, measures.length, levels.length),
  );
  const sample = heads.map(() => new Float64Array(Math.min(pool.rows, SAMPLE)));
  const draw = new EvenDraw(pool.rows, SAMPLE);
  const known: ReadonlySet<string | null> = new Set(TAGS);
  const tags = hasTags(pool) ? new Map<string | null, number>() : undefined;
  let drawn = 0;
  let seen = 0;
  const requests = distinct([
    ...measures.flatMap(({ columns }) => columns.map((name) => ({ name, as: 'number' as const }))),
    ...groupings.flatMap((grouping) => grouping.requests),
    ...(tags === undefined ? [] : [{ name: TAG_COLUMN, as: 'text' as const }]),
  ]);
  for await (const batch of pool.scan(requests, { signal: options.signal })) {
    const values = measures.map((measure) => valuesOf(batch, measure));
    const states = measures.map((measure, m) => {
      const state = new Uint8Array(batch.rows);
      histograms[m].add(values[m]);
      judge(values[m], measure, state, totals[m]);
      return state;
    });
    agreement.add(states, batch.rows);
    for (const grouping of groupings) grouping.add(batch, states);
    for (const text of tags ? batch.texts(TAG_COLUMN) : []) {
      const tag = known.has(text) ? text : null;
      tags?.set(tag, (tags.get(tag) ?? 0) + 1);
    }
    for (let i = 0; i < batch.rows; i++) {
      if (!draw.next()) continue;
      for (const [h, place] of heads.entries()) sample[h][drawn] = values[place][i];
      drawn++;
    }
    for (const watcher of options.watchers) watcher.add(batch.start, values, states, batch.rows);
    seen += batch.rows;
    options.onProgress?.(seen / pool.rows);
  }
  return { histograms, totals, agreement, sample, groupings, tags };
}

function hasTags(pool: Pool): boolean {
  const isText = pool.files.every(
    (file) => file.rows === 0 || pool.typeOf(file, TAG_COLUMN) === 'BYTE_ARRAY',
  );
  return isText && pool.has(TAG_COLUMN);
}

function distinct(requests: readonly ColumnRequest[]): ColumnRequest[] {
  return [...new Map(requests.map((request) => [`${request.as}:${request.name}`, request])).values()];
}
