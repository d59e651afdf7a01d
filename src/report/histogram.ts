import type { Numbers } from '../select/scan.ts';

/** Steps of a probability: a threshold that is a whole number of them is counted exactly. */
export const STEPS = 10_000;
/** Counts above this share the last place. */
const LARGEST_COUNT = 1000;

/** Where bins begin, in the type that holds the values: 0.7 as a float32 is less than 0.7. */
const DOUBLE = Float64Array.from({ length: STEPS + 1 }, (_, i) => i / STEPS);
const FLOAT = Float64Array.from(DOUBLE, Math.fround);

/**
 * How many values lie at or above a threshold, without keeping them: bins of 0.0001 from 0 to 1 for probabilities, of
 * 1 for counts. 80 kB.
 */
export class Histogram {
  readonly isCount: boolean;
  judged = 0;
  unjudged = 0;
  sum = 0;
  belowZero = 0;
  aboveOne = 0;
  readonly #bins: Float64Array;

  constructor(isCount: boolean) {
    this.isCount = isCount;
    this.#bins = new Float64Array((isCount ? LARGEST_COUNT : STEPS) + 1);
  }

  /** NaN is unjudged. */
  add(values: Numbers): void {
    const edges = values instanceof Float32Array ? FLOAT : DOUBLE;
    const last = this.#bins.length - 1;
    for (const value of values) {
      if (Number.isNaN(value)) {
        this.unjudged++;
        continue;
      }
      this.judged++;
      this.sum += value;
      if (value < 0) {
        this.belowZero++;
        continue;
      }
      if (value > 1) this.aboveOne++;
      let bin = Math.min(last, Math.floor(this.isCount ? value : value * STEPS));
      if (!this.isCount) {
        // The product is rounded; the edges are what values are compared with.
        if (value < edges[bin]) bin--;
        else if (bin < last && value >= edges[bin + 1]) bin++;
      }
      this.#bins[bin]++;
    }
  }

  /** Judged values at or above each of the thresholds, which ascend: whole numbers of steps (1 for counts), 0 or more. */
  atOrAbove(thresholds: readonly number[]): number[] {
    const scale = this.isCount ? 1 : STEPS;
    const found = new Array<number>(thresholds.length).fill(0);
    let count = 0;
    let bin = this.#bins.length - 1;
    for (let i = thresholds.length - 1; i >= 0; i--) {
      const first = Math.round(thresholds[i] * scale);
      for (; bin >= first; bin--) count += this.#bins[bin];
      found[i] = count;
    }
    return found;
  }

  /** Thresholds worth drawing: denser towards 0, where most rows are; each whole number up to 20 for counts. */
  grid(more: readonly number[] = []): number[] {
    const own = this.isCount ? Array.from({ length: 20 }, (_, i) => i + 1) : PROBABILITIES;
    const scale = this.isCount ? 1 : STEPS;
    const extra = more.filter((t) => t >= 0 && Math.abs(Math.round(t * scale) - t * scale) < 1e-6);
    return [...new Set([...own, ...extra])].sort((a, b) => a - b);
  }
}

const PROBABILITIES: readonly number[] = [
  ...[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005],
  ...Array.from({ length: 99 }, (_, i) => (i + 1) / 100),
  ...[0.995, 0.998, 0.999, 0.9995, 0.9999, 1],
];
