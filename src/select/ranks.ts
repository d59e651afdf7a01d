import type { Numbers } from './scan.ts';

/** Spearman's rank correlation; equal values share their mean rank. NaN for fewer than two rows, or one value only. */
export function spearman(x: Numbers, y: Numbers): number {
  const [a, b] = [ranks(x), ranks(y)];
  // Mean ranks have the same sum with ties or without.
  const mean = (x.length - 1) / 2;
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [da, db] = [a[i] - mean, b[i] - mean];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return aa === 0 || bb === 0 ? Number.NaN : ab / Math.sqrt(aa * bb);
}

/** From 0; found by place in the sorted values, which is quicker than sorting places. */
function ranks(values: Numbers): Float64Array {
  const sorted = values.slice().sort();
  return Float64Array.from(values, (value) => (lower(sorted, value) + upper(sorted, value) - 1) / 2);
}

/** How many values lie below. */
function lower(sorted: Numbers, value: number): number {
  return place(sorted, (other) => other < value);
}

/** How many values do not lie above. */
function upper(sorted: Numbers, value: number): number {
  return place(sorted, (other) => other <= value);
}

function place(sorted: Numbers, isBefore: (other: number) => boolean): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(sorted[middle])) low = middle + 1;
    else high = middle;
  }
  return low;
}
