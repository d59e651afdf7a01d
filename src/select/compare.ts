/** One pool scored twice: how far the scores lie apart, and what that does to the subsets that are selected by them. */
import { CancelledError } from '../errors.ts';
import { type JoinedScores, joinScores } from './join-scores.ts';
import type { Pool } from './pool.ts';
import { spearman } from './ranks.ts';
import type { Numbers } from './scan.ts';
import { fractionThreshold, inType } from './scores.ts';

export interface CompareOptions {
  /** The score in each pool; default the only one there is. */
  columns?: readonly [string | undefined, string | undefined];
  /** Shares of the rows, each `(0, 1]`. */
  fractions?: readonly number[];
  threshold?: number;
  signal?: AbortSignal;
}

/** Two subsets of the rows that are in both pools. */
export interface Overlap {
  /** The least score kept, of each. */
  thresholds: [number, number];
  kept: [number, number];
  /** Rows that both keep. */
  both: number;
  /** Rows of both over rows of either; 1 where neither keeps any. */
  jaccard: number;
  /** Rows of both over rows of the first; 1 where it keeps none. */
  share: number;
}

export interface Comparison {
  columns: [string, string];
  rows: {
    /** In both pools, by uid and key (by uid alone where a pool has no keys). */
    both: number;
    onlyFirst: number;
    onlySecond: number;
    /** Of those in both, the rows that lack a score in one of them: they count nowhere else. */
    unscored: number;
  };
  /** Differences are the second score less the first. `null` where nothing can be said. */
  scores: {
    maxAbsolute: number | null;
    meanAbsolute: number | null;
    mean: number | null;
    /** Rank correlation; ties have their mean rank. */
    spearman: number | null;
  };
  fractions: (Overlap & { fraction: number })[];
  threshold?: Overlap & {
    threshold: number;
    /** Rows that only the first keeps, and only the second. */
    lost: number;
    gained: number;
  };
}

/**
 * Compares the scores of two pools, row by row. Fractions are of the rows in both that have both scores, by the rule
 * of `select`. Throws `UsageError` where there is no such column or more than one to choose from, `MetadataError`.
 */
export async function comparePools(
  first: Pool,
  second: Pool,
  options: CompareOptions = {},
): Promise<Comparison> {
  const { fractions = [], threshold, signal } = options;
  const columns: [string, string] = [
    first.scoreColumn(options.columns?.[0]),
    second.scoreColumn(options.columns?.[1]),
  ];
  const joined = await joinScores([first, columns[0]], [second, columns[1]], signal);
  const { a, onlyFirst, onlySecond } = joined;
  if (signal?.aborted) throw new CancelledError();
  const [x, y] = scoredInBoth(joined);
  const n = x.length;
  let [most, sum, signed] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const difference = y[i] - x[i];
    most = Math.max(most, Math.abs(difference));
    sum += Math.abs(difference);
    signed += difference;
  }
  const rank = spearman(x, y);
  return {
    columns,
    rows: { both: a.length, onlyFirst, onlySecond, unscored: a.length - n },
    scores: {
      maxAbsolute: n === 0 ? null : most,
      meanAbsolute: n === 0 ? null : sum / n,
      mean: n === 0 ? null : signed / n,
      spearman: Number.isNaN(rank) ? null : rank,
    },
    fractions: fractions.map((fraction) => ({
      fraction,
      ...overlap(x, y, [fractionThreshold([x], fraction), fractionThreshold([y], fraction)]),
    })),
    ...(threshold === undefined ? {} : { threshold: flips(x, y, threshold) }),
  };
}

/** The rows with both scores, each column in its own type. */
function scoredInBoth({ a, b }: JoinedScores): [Numbers, Numbers] {
  let n = 0;
  const [x, y] = [a.slice(), b.slice()];
  for (let i = 0; i < a.length; i++) {
    if (Number.isNaN(a[i]) || Number.isNaN(b[i])) continue;
    x[n] = a[i];
    y[n++] = b[i];
  }
  return [x.subarray(0, n), y.subarray(0, n)];
}

function flips(x: Numbers, y: Numbers, threshold: number): NonNullable<Comparison['threshold']> {
  const cuts: [number, number] = [inType(threshold, typeOf(x)), inType(threshold, typeOf(y))];
  const result = overlap(x, y, cuts);
  const { kept, both } = result;
  return { threshold, ...result, lost: kept[0] - both, gained: kept[1] - both };
}

function overlap(x: Numbers, y: Numbers, thresholds: [number, number]): Overlap {
  const kept: [number, number] = [0, 0];
  let both = 0;
  for (let i = 0; i < x.length; i++) {
    const inX = x[i] >= thresholds[0];
    const inY = y[i] >= thresholds[1];
    if (inX) kept[0]++;
    if (inY) kept[1]++;
    if (inX && inY) both++;
  }
  const either = kept[0] + kept[1] - both;
  return {
    thresholds,
    kept,
    both,
    jaccard: either === 0 ? 1 : both / either,
    share: kept[0] === 0 ? 1 : both / kept[0],
  };
}

function typeOf(values: Numbers): 'FLOAT' | 'DOUBLE' {
  return values instanceof Float32Array ? 'FLOAT' : 'DOUBLE';
}
