/** How well measures tell labelled rows apart. */
import { compareAreas } from '../safety/heads/train/compare.ts';
import { averagePrecision, rocAuc, wilson } from '../safety/heads/train/metrics.ts';
import type { Watcher } from './measure.ts';
import type { Measures } from './measures.ts';
import { twoSidedP } from './statistics.ts';
import type { Comparison, LabelledMeasure, LabelledReport } from './types.ts';

/** Points of a curve; more cannot be seen. */
const POINTS = 200;

/** Rows of the pool with a label each, 1 for what is looked for. */
export interface LabelledRows {
  file: string;
  positive: string;
  /** In any order. */
  rows: Float64Array;
  labels: Int32Array;
}

/** Keeps the values of labelled rows as they pass. */
export class LabelledValues implements Watcher {
  readonly values: Float64Array[];
  readonly states: Uint8Array[];
  readonly #rows: Float64Array;
  /** Places in `rows`, in the order of the pool. */
  readonly #order: Int32Array;
  #next = 0;

  constructor({ rows }: LabelledRows, measures: number) {
    this.#rows = rows;
    this.#order = Int32Array.from(rows.keys()).sort((a, b) => rows[a] - rows[b]);
    this.values = Array.from({ length: measures }, () => new Float64Array(rows.length).fill(Number.NaN));
    this.states = Array.from({ length: measures }, () => new Uint8Array(rows.length));
  }

  add(
    start: number,
    values: readonly ArrayLike<number>[],
    states: readonly Uint8Array[],
    count: number,
  ): void {
    for (; this.#next < this.#order.length; this.#next++) {
      const at = this.#order[this.#next];
      const row = this.#rows[at];
      if (row >= start + count) return;
      for (const [m, column] of values.entries()) {
        this.values[m][at] = column[row - start];
        this.states[m][at] = states[m][row - start];
      }
    }
  }
}

export function reportLabelled(
  { file, positive, labels }: LabelledRows,
  { measures }: Measures,
  { values, states }: LabelledValues,
  notes: string[],
): LabelledReport {
  const comparisons: Comparison[] = [];
  const compared = [...measures.keys()].filter((m) => m === 0 || measures[m].isHead);
  for (const [i, a] of compared.entries()) {
    for (const b of compared.slice(i + 1)) {
      const found = compare(values[a], values[b], labels);
      if (found !== undefined) comparisons.push({ a: measures[a].name, b: measures[b].name, ...found });
    }
  }
  return {
    ...{ file, positive, samples: labels.length, positives: positivesOf(labels) },
    measures: measures.map(({ name, thresholds }, m) => {
      const judged = rowsWith(labels, values[m]);
      const unjudged = labels.length - judged.length;
      if (unjudged > 0)
        notes.push(`${name}: ${unjudged} labelled samples have no value and are left out of its figures`);
      const own = pickLabels(labels, judged);
      const bits = Uint8Array.from(judged, (row) => states[m][row]);
      const at = thresholds.map((threshold, level) => ({ threshold, ...flagged(bits, own, level) }));
      return { name, unjudged, ...figures(pick(values[m], judged), own), at };
    }),
    comparisons,
  };
}

/** What a threshold does to labelled rows. */
function flagged(states: Uint8Array, labels: Int32Array, level: number) {
  let count = 0;
  let hits = 0;
  for (const [i, state] of states.entries()) {
    if (((state >> level) & 1) === 0) continue;
    count++;
    hits += labels[i];
  }
  return { flagged: count, precision: wilson(hits, count), recall: wilson(hits, positivesOf(labels)) };
}

function figures(
  scores: Float64Array,
  labels: Int32Array,
): Omit<LabelledMeasure, 'name' | 'at' | 'unjudged'> {
  const positives = positivesOf(labels);
  const counts = { samples: labels.length, positives };
  if (positives === 0 || positives === labels.length)
    return { ...counts, roc_auc: null, average_precision: null, roc: [], pr: [] };
  return {
    ...counts,
    roc_auc: rocAuc(scores, labels),
    average_precision: averagePrecision(scores, labels),
    ...curves(scores, labels, positives),
  };
}

/** Both curves in steps of different scores, thinned where there are many; the ends stay. */
function curves(
  scores: Float64Array,
  labels: Int32Array,
  positives: number,
): Pick<LabelledMeasure, 'roc' | 'pr'> {
  const order = Int32Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
  const roc = [{ fpr: 0, tpr: 0 }];
  const pr: LabelledMeasure['pr'] = [];
  let hits = 0;
  for (let i = 0; i < order.length; i++) {
    hits += labels[order[i]];
    if (i + 1 < order.length && scores[order[i + 1]] === scores[order[i]]) continue;
    roc.push({ fpr: (i + 1 - hits) / (order.length - positives), tpr: hits / positives });
    pr.push({ recall: hits / positives, precision: hits / (i + 1) });
  }
  return { roc: thin(roc), pr: thin(pr) };
}

function thin<T>(points: T[]): T[] {
  const step = Math.max(1, (points.length - 1) / (POINTS - 1));
  const kept = Math.min(points.length, POINTS);
  return Array.from({ length: kept }, (_, i) => points[Math.min(points.length - 1, Math.round(i * step))]);
}

function compare(
  a: Float64Array,
  b: Float64Array,
  labels: Int32Array,
): Omit<Comparison, 'a' | 'b'> | undefined {
  const rows = rowsWith(labels, a, b);
  const own = pickLabels(labels, rows);
  const positives = positivesOf(own);
  if (positives === 0 || positives === own.length) return undefined;
  const { difference, z, needed } = compareAreas(pick(a, rows), pick(b, rows), own);
  const isKnown = Number.isFinite(z) && Number.isFinite(needed);
  return {
    samples: rows.length,
    difference,
    p: Number.isFinite(z) ? twoSidedP(z) : null,
    needed: isKnown ? needed : null,
    more: isKnown ? Math.max(0, needed - rows.length) : null,
  };
}

/** Places of the labels for which every column has a value. */
function rowsWith(labels: Int32Array, ...columns: Float64Array[]): Int32Array {
  return Int32Array.from(labels.keys()).filter((i) => columns.every((column) => !Number.isNaN(column[i])));
}

function pick(values: Float64Array, rows: Int32Array): Float64Array {
  return Float64Array.from(rows, (row) => values[row]);
}

function pickLabels(labels: Int32Array, rows: Int32Array): Int32Array {
  return rows.map((row) => labels[row]);
}

function positivesOf(labels: Int32Array): number {
  return labels.reduce((sum, label) => sum + label, 0);
}
