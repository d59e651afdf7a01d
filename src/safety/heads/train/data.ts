/** Labelled embeddings, and how they are divided. */
import type { Random } from './random.ts';

/** What is learned from. */
export interface Labelled {
  rows: number;
  dim: number;
  /** `[rows, dim]`, row-major. */
  embeddings: Float32Array;
  /** A class for each row, `0 … classes.length − 1`. */
  labels: Int32Array;
  /** Names of the classes; of two, the second is what is looked for. */
  classes: readonly string[];
}

/** Some rows of labelled embeddings. */
export function subset(data: Labelled, rows: Int32Array): Labelled {
  const { dim } = data;
  const embeddings = new Float32Array(rows.length * dim);
  for (const [i, row] of rows.entries())
    embeddings.set(data.embeddings.subarray(row * dim, (row + 1) * dim), i * dim);
  return {
    ...data,
    rows: rows.length,
    embeddings,
    labels: Int32Array.from(rows, (row) => data.labels[row]),
  };
}

/** How many rows each class has. */
export function classCounts(labels: Int32Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}

/**
 * A fold for each row: every class is shuffled and dealt out by itself, so each fold has its share of each. Classes
 * begin at the fold where the one before ended, so sizes differ by one at most.
 */
export function stratifiedFolds(
  labels: Int32Array,
  classes: number,
  folds: number,
  random: Random,
): Int32Array {
  const fold = new Int32Array(labels.length);
  let next = 0;
  for (let label = 0; label < classes; label++) {
    const rows = random.shuffle(rowsWhere(labels, (value) => value === label));
    for (const row of rows) fold[row] = next++ % folds;
  }
  return fold;
}

/** Rows whose value passes, ascending. */
export function rowsWhere(values: Int32Array, test: (value: number) => boolean): Int32Array {
  return Int32Array.from(values.keys()).filter((row) => test(values[row]));
}

/** scikit-learn's `balanced`: rows / (classes · rows of the class), for each row; else 1. */
export function rowWeights(data: Labelled, balanced: boolean): Float64Array {
  const counts = classCounts(data.labels, data.classes.length);
  return Float64Array.from(data.labels, (label) =>
    balanced ? data.rows / (data.classes.length * counts[label]) : 1,
  );
}
