/**
 * How good scores are against labels. Ties count as scikit-learn counts them: half a win in the ROC's area, one step
 * in the precision-recall curve.
 */

/** The quantile of the normal distribution for 95% intervals. */
export const Z = 1.959963984540054;

export interface Estimate {
  value: number;
  /** The 95% interval. */
  low: number;
  high: number;
}

/** The rank of each value, ties at the mean of theirs, from 1. */
export function midranks(values: Float64Array): Float64Array {
  const order = Int32Array.from(values.keys()).sort((a, b) => values[a] - values[b]);
  const ranks = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let i = start; i < end; i++) ranks[order[i]] = (start + end + 1) / 2;
    start = end;
  }
  return ranks;
}

/**
 * The area under the ROC curve, with DeLong's interval (DeLong et al. 1988; by ranks as Sun and Xu 2014 do), cut to
 * `[0, 1]`. Labels are 0 or 1, both there. With an area of 0 or 1 the interval is of no width, which says that the
 * samples were too few or too easy to bound it, not that it is certain.
 */
export function rocAuc(scores: Float64Array, labels: Int32Array): Estimate {
  const { area: value, wins, losses } = placements(scores, labels);
  const spread = Z * Math.sqrt(variance(wins) / wins.length + variance(losses) / losses.length);
  return { value, low: Math.max(0, value - spread), high: Math.min(1, value + spread) };
}

/**
 * The area under the ROC curve and what it is the mean of: each positive's share of the negatives below it, and each
 * negative's share of the positives above it, both in the order of the rows, ties half.
 */
export function placements(
  scores: Float64Array,
  labels: Int32Array,
): { area: number; wins: Float64Array; losses: Float64Array } {
  const positives = scores.filter((_, i) => labels[i] === 1);
  const negatives = scores.filter((_, i) => labels[i] !== 1);
  const [m, n] = [positives.length, negatives.length];
  const all = midranks(Float64Array.from([...positives, ...negatives]));
  const own = { positive: midranks(positives), negative: midranks(negatives) };
  let sum = 0;
  for (let i = 0; i < m; i++) sum += all[i];
  return {
    area: (sum - (m * (m + 1)) / 2) / (m * n),
    wins: own.positive.map((rank, i) => (all[i] - rank) / n),
    losses: own.negative.map((rank, i) => 1 - (all[m + i] - rank) / m),
  };
}

export function variance(values: Float64Array): number {
  const n = values.length;
  if (n < 2) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
}

/**
 * Average precision: the sum over thresholds of precision times the recall gained. Interval on the logit scale, of
 * width 1.96/√(positives · p · (1 − p)) (Boyd, Eng and Page 2013).
 */
export function averagePrecision(scores: Float64Array, labels: Int32Array): Estimate {
  const order = Int32Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
  const total = labels.reduce((sum, label) => sum + (label === 1 ? 1 : 0), 0);
  let found = 0;
  let value = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    let gained = 0;
    while (end < order.length && scores[order[end]] === scores[order[start]]) {
      if (labels[order[end]] === 1) gained++;
      end++;
    }
    found += gained;
    value += (gained / total) * (found / end);
    start = end;
  }
  if (value <= 0 || value >= 1) return { value, low: value, high: value };
  const logit = Math.log(value / (1 - value));
  const spread = Z / Math.sqrt(total * value * (1 - value));
  const back = (z: number) => 1 / (1 + Math.exp(-z));
  return { value, low: back(logit - spread), high: back(logit + spread) };
}

/** A share with Wilson's score interval; NaN, with the whole range, where there is nothing to share. */
export function wilson(hits: number, count: number): Estimate {
  if (count === 0) return { value: Number.NaN, low: 0, high: 1 };
  const p = hits / count;
  const z2 = Z * Z;
  const centre = (p + z2 / (2 * count)) / (1 + z2 / count);
  const spread = (Z * Math.sqrt((p * (1 - p)) / count + z2 / (4 * count * count))) / (1 + z2 / count);
  // At the ends the difference is rounded to a little more than nothing.
  return {
    value: p,
    low: hits === 0 ? 0 : Math.max(0, centre - spread),
    high: hits === count ? 1 : Math.min(1, centre + spread),
  };
}

export interface AtThreshold {
  threshold: number;
  /** Share of all rows at or above it. */
  flagged: number;
  precision: Estimate;
  recall: Estimate;
}

/** What happens to rows at or above a threshold. */
export function atThreshold(scores: Float64Array, labels: Int32Array, threshold: number): AtThreshold {
  let flagged = 0;
  let hits = 0;
  let positives = 0;
  for (let i = 0; i < scores.length; i++) {
    if (labels[i] === 1) positives++;
    if (scores[i] >= threshold) {
      flagged++;
      if (labels[i] === 1) hits++;
    }
  }
  return {
    threshold,
    flagged: flagged / scores.length,
    precision: wilson(hits, flagged),
    recall: wilson(hits, positives),
  };
}

/** The score at which F1 is largest; of equal ones the lowest, which misses less. */
export function bestThreshold(scores: Float64Array, labels: Int32Array): number {
  const order = Int32Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
  const total = labels.reduce((sum, label) => sum + (label === 1 ? 1 : 0), 0);
  let hits = 0;
  let best = { f1: -1, threshold: 0.5 };
  for (let i = 0; i < order.length; i++) {
    if (labels[order[i]] === 1) hits++;
    const isEdge = i === order.length - 1 || scores[order[i + 1]] !== scores[order[i]];
    const f1 = (2 * hits) / (i + 1 + total);
    if (isEdge && f1 >= best.f1) best = { f1, threshold: scores[order[i]] };
  }
  return best.threshold;
}

/** The highest score at which at least this share of the positives is caught. */
export function thresholdForRecall(scores: Float64Array, labels: Int32Array, recall: number): number {
  const caught = scores.filter((_, i) => labels[i] === 1).sort();
  return caught[caught.length - Math.max(1, Math.ceil(recall * caught.length))];
}
