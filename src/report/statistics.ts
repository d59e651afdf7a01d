/** What is said of two measures that need no labels, and the normal distribution. */
import { midranks } from '../safety/heads/train/metrics.ts';

/**
 * Spearman's rank correlation of columns of the same rows, ties at their mean rank, over the rows that have both
 * values: what `scipy.stats.spearmanr` gives. `undefined` where one of two does not change.
 */
export class RankCorrelation {
  readonly #columns: readonly Float64Array[];
  /** Ranks over all rows, of columns that have every value. */
  readonly #ranks = new Map<number, Float64Array>();

  constructor(columns: readonly Float64Array[]) {
    this.#columns = columns;
    for (const [i, values] of columns.entries()) {
      if (!values.some(Number.isNaN)) this.#ranks.set(i, midranks(values));
    }
  }

  of(a: number, b: number): number | undefined {
    const [x, y] = [this.#ranks.get(a), this.#ranks.get(b)];
    if (x !== undefined && y !== undefined) return correlation(x, y);
    const [left, right] = [this.#columns[a], this.#columns[b]];
    const isWhole = (_: number, i: number) => !Number.isNaN(left[i]) && !Number.isNaN(right[i]);
    return correlation(midranks(left.filter(isWhole)), midranks(right.filter(isWhole)));
  }
}

/** Pearson's correlation of ranks, whose mean is the middle one. */
function correlation(x: Float64Array, y: Float64Array): number | undefined {
  const middle = (x.length + 1) / 2;
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [u, v] = [x[i] - middle, y[i] - middle];
    xx += u * u;
    yy += v * v;
    xy += u * v;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : undefined;
}

/**
 * Cohen's kappa (1960) of two yes-or-no judges: agreement beyond what their own rates make by chance. `undefined`
 * where chance alone agrees on all.
 */
export function cohenKappa(counts: { both: number; onlyA: number; onlyB: number; neither: number }) {
  const { both, onlyA, onlyB, neither } = counts;
  const n = both + onlyA + onlyB + neither;
  const chance =
    ((both + onlyA) / n) * ((both + onlyB) / n) + ((onlyB + neither) / n) * ((onlyA + neither) / n);
  return n > 0 && chance < 1 ? ((both + neither) / n - chance) / (1 - chance) : undefined;
}

/** The probability that a standard normal variable is further from 0 than `z`, either way: erfc(|z| / √2). */
export function twoSidedP(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  if (x < 2) {
    // erf by its series, 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, all terms positive.
    let term = x;
    let sum = x;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  // Its continued fraction, e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3/2/(x + …)))), from the inside out.
  let fraction = x;
  for (let k = 80; k > 0; k--) fraction = x + k / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}
