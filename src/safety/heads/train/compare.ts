/** Whether two sets of scores tell labelled samples apart equally well. */
import { type Estimate, placements, variance, Z } from './metrics.ts';

/** The quantile of the normal distribution for a power of 80%. */
const Z_POWER = 0.8416212335729143;

export interface AreaComparison {
  /** Area of the first minus area of the second, cut to `[-1, 1]` at its ends. */
  difference: Estimate;
  /** Its standard error. */
  error: number;
  /** Difference in standard errors; NaN where both are 0. */
  z: number;
  /**
   * Labelled samples in all, at the same share of each class, that would show a difference of this size in 80% of
   * the cases with a two-sided test at 5%: (1.96 + 0.84)² · (v₁/π + v₀/(1 − π)) / Δ², where v₁ and v₀ are the
   * variances of the differences of placements among the π positives and the others. That is the sample size of
   * Obuchowski and McClish (1997, Statistics in Medicine 16:1529) with one variance for both hypotheses, its variance
   * DeLong's. Infinite where there is no difference.
   */
  needed: number;
}

/**
 * The test of DeLong, DeLong and Clarke-Pearson (1988) for two areas under the ROC curve measured on the same
 * samples. Labels are 0 or 1, both there.
 */
export function compareAreas(a: Float64Array, b: Float64Array, labels: Int32Array): AreaComparison {
  const [one, two] = [placements(a, labels), placements(b, labels)];
  const positive = variance(one.wins.map((value, i) => value - two.wins[i]));
  const negative = variance(one.losses.map((value, i) => value - two.losses[i]));
  const [m, n] = [one.wins.length, one.losses.length];
  const value = one.area - two.area;
  const error = Math.sqrt(positive / m + negative / n);
  const share = m / (m + n);
  const needed = ((Z + Z_POWER) ** 2 * (positive / share + negative / (1 - share))) / value ** 2;
  return {
    difference: { value, low: Math.max(-1, value - Z * error), high: Math.min(1, value + Z * error) },
    error,
    z: value / error,
    needed: value === 0 ? Number.POSITIVE_INFINITY : Math.ceil(needed),
  };
}
