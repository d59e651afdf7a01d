import { readColumn } from './filters/score.ts';
import type { Pool } from './pool.ts';

export const QUANTILES = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1] as const;

/** How a score is spread over the rows of a pool. */
export interface Spread {
  column: string;
  /** Rows that have the score. */
  numbers: number;
  /** Rows that do not. */
  missing: number;
  mean: number;
  /** The numbers at `QUANTILES`: in ascending order the one at place `ceil(q · n) − 1`, so each is a real score. */
  quantiles: number[];
}

export async function spreadOf(pool: Pool, column: string, signal?: AbortSignal): Promise<Spread> {
  return spread(column, await readColumn(pool, column, signal));
}

export function spread(column: string, parts: readonly (Float32Array | Float64Array)[]): Spread {
  const rows = parts.reduce((sum, part) => sum + part.length, 0);
  const isWide = parts.some((part) => part instanceof Float64Array);
  const all = new (isWide ? Float64Array : Float32Array)(rows);
  let at = 0;
  let sum = 0;
  for (const part of parts) {
    for (const value of part) {
      if (Number.isNaN(value)) continue;
      all[at++] = value;
      sum += value;
    }
  }
  const numbers = all.subarray(0, at).sort();
  return {
    column,
    numbers: at,
    missing: rows - at,
    mean: sum / at,
    quantiles: QUANTILES.map((q) => numbers[Math.max(0, Math.ceil(q * at) - 1)] ?? Number.NaN),
  };
}
