/**
 * How far fp32 may lie from a score of another precision: measured on rows of the run itself, and what can be said of
 * the rows that were not looked at.
 */
import { RowMask } from '../select/mask.ts';

/** Rows that are drawn and scored twice: this share of them, and never fewer than `SAMPLE_LEAST`. */
export const SAMPLE_SHARE = 0.01;
export const SAMPLE_LEAST = 256;

/**
 * The band is this many times the largest difference of all rows that were scored twice.
 *
 * Those rows are the drawn ones and all within the band, a tenth of a pool say. Where differences fall off like an
 * exponential, which is slower than they were seen to, the largest of N rows is expected to be ln N / ln n times the
 * largest of n of them: 1.5 for n = N / 10 at N = 1,000, and less for larger pools.
 */
export const BAND_FACTOR = 1.5;

/** Of what is said of the share of rows within the drawn rows' largest difference. */
export const CONFIDENCE = 0.95;

/**
 * What n drawn rows say of the others, whatever the differences are distributed like.
 *
 * - `chance`: that the difference of one more row is larger than all n of theirs, 1 / (n + 1), as every one of the n + 1
 *   is the largest as likely as any other
 * - `share`: with `CONFIDENCE`, at least this share of all rows lies within the largest of theirs: the p for which
 *   pⁿ = 1 − confidence (S. S. Wilks, Annals of Mathematical Statistics 12, 1941, p. 91: tolerance limits)
 */
export function coverageOf(rows: number): { confidence: number; share: number; chance: number } {
  const share = rows === 0 ? 0 : (1 - CONFIDENCE) ** (1 / rows);
  return { confidence: CONFIDENCE, share, chance: 1 / (rows + 1) };
}

export function sampleSize(rows: number): number {
  return Math.min(rows, Math.max(SAMPLE_LEAST, Math.ceil(rows * SAMPLE_SHARE)));
}

/** The rows with the smallest numbers, of equal ones the first: `numbers` are drawn by uid, so a uid may come twice. */
export function smallest(numbers: Float64Array, count: number): RowMask {
  const mask = new RowMask(numbers.length);
  if (count === 0) return mask;
  const last = numbers.slice().sort()[count - 1];
  let left = count;
  for (const [row, number] of numbers.entries()) if (number < last) left -= add(mask, row);
  for (const [row, number] of numbers.entries()) if (number === last && left > 0) left -= add(mask, row);
  return mask;
}

/** The largest difference between two scores of the rows in a mask. */
export function largestDifference(before: Float32Array, fine: Float32Array, rows: RowMask): number {
  let largest = 0;
  for (let row = 0; row < before.length; row++) {
    if (rows.get(row)) largest = Math.max(largest, Math.abs(fine[row] - before[row]));
  }
  return largest;
}

function add(mask: RowMask, row: number): 1 {
  mask.set(row);
  return 1;
}
