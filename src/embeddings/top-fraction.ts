import { UsageError } from '../errors.ts';
import type { RowSet } from './types.ts';

export interface TopFraction {
  /** Per row: 1 for the rows that stay. */
  keep: Uint8Array;
  kept: number;
  /** The lowest score kept; NaN where nothing is. */
  threshold: number;
  /** Rows with that score that did not stay, as there was no room for them. */
  tiesDropped: number;
  /** Rows looked at whose score is NaN; never kept. */
  unjudged: number;
}

/**
 * The rows with the highest scores, exactly `int(n · fraction)` of them, as the authors of negCLIPLoss select
 * (`np.argpartition(scores, -n)[-n:]`; arXiv 2405.19547's code): not DataComp's `clip_score`, which keeps one more and
 * all ties. Which of equal scores argpartition takes is an accident of its algorithm; here it is the first rows of
 * the pool.
 *
 * `n` is the number of all rows (`of: 'pool'`, the authors' way also for a second filter) or of those in `among`
 * (`of: 'rest'`). Where fewer rows than asked for have a score, all of them stay; the authors' code stops there.
 */
export function topFraction(
  scores: Float32Array | Float64Array,
  fraction: number,
  options: { among?: RowSet; of?: 'pool' | 'rest' } = {},
): TopFraction {
  if (!(fraction > 0 && fraction <= 1)) {
    throw new UsageError(`the fraction must be above 0 and at most 1, not ${fraction}`);
  }
  const { among, of = 'pool' } = options;
  const looked = new Uint8Array(scores.length);
  const values = scores.slice();
  let count = 0;
  let rest = 0;
  for (let row = 0; row < scores.length; row++) {
    if (among !== undefined && !among.get(row)) continue;
    rest++;
    if (Number.isNaN(scores[row])) continue;
    looked[row] = 1;
    values[count++] = scores[row];
  }
  const wanted = Math.trunc((of === 'pool' ? scores.length : rest) * fraction);
  const n = Math.min(wanted, count);
  const keep = new Uint8Array(scores.length);
  if (n === 0) return { keep, kept: 0, threshold: Number.NaN, tiesDropped: 0, unjudged: rest - count };
  const threshold = values.subarray(0, count).sort()[count - n];
  let room = n;
  for (let row = 0; row < scores.length; row++) {
    if (looked[row] === 1 && scores[row] > threshold) {
      keep[row] = 1;
      room--;
    }
  }
  let tiesDropped = 0;
  for (let row = 0; row < scores.length; row++) {
    if (looked[row] !== 1 || scores[row] !== threshold) continue;
    if (room > 0) {
      keep[row] = 1;
      room--;
    } else tiesDropped++;
  }
  return { keep, kept: n, threshold, tiesDropped, unjudged: rest - count };
}
