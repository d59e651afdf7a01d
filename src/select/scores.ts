import type { Numbers } from './scan.ts';

/** A threshold as the column's type holds it: DataComp compares in that type. */
export function inType(threshold: number, type: 'FLOAT' | 'DOUBLE'): number {
  return type === 'FLOAT' ? Math.fround(threshold) : threshold;
}

/** Copies decoded pieces, nulls as NaN. */
export function copyScores(pieces: readonly ArrayLike<unknown>[], into: Numbers, start: number): void {
  let at = start;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i++) {
      const value = piece[i];
      into[at++] = typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : Number.NaN;
    }
  }
}

/** Buckets of numbers by sign, exponent and the first bits of the fraction: 1.6% of a value wide or less. */
const KEY_BITS = 20;

/**
 * The score at place `int(n · fraction)` of all scores in descending order; −∞ where that keeps every number. Found
 * by counting how many scores lie in which bucket and sorting one bucket, so no second copy of the scores is made.
 */
export function fractionThreshold(scores: readonly Numbers[], fraction: number): number {
  const n = scores.reduce((sum, part) => sum + part.length, 0);
  const counts = new Uint32Array(2 ** KEY_BITS);
  let numbers = 0;
  for (const part of scores) {
    for (let i = 0; i < part.length; i++) {
      const value = part[i];
      if (Number.isNaN(value)) continue;
      counts[keyOf(value)]++;
      numbers++;
    }
  }
  const place = Math.trunc(n * fraction);
  if (place >= numbers) return Number.NEGATIVE_INFINITY;
  let above = 0;
  let key = counts.length - 1;
  for (; above + counts[key] <= place; key--) above += counts[key];
  const bucket = new Float64Array(counts[key]);
  let at = 0;
  for (const part of scores) {
    for (let i = 0; i < part.length; i++) {
      const value = part[i];
      if (!Number.isNaN(value) && keyOf(value) === key) bucket[at++] = value;
    }
  }
  bucket.sort();
  return bucket[bucket.length - 1 - (place - above)];
}

const SCRATCH = new Float64Array(1);
const SCRATCH_WORDS = new Uint32Array(SCRATCH.buffer);

/** A number's bucket: larger numbers never have a smaller one. */
function keyOf(value: number): number {
  SCRATCH[0] = value;
  const high = SCRATCH_WORDS[1];
  // Negative numbers grow the other way round, and come first.
  return (high < 0x80000000 ? high | 0x80000000 : ~high) >>> (32 - KEY_BITS);
}
