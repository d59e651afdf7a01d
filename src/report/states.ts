/**
 * What each measure makes of a row, in a byte: bit `l` where it is at or above its threshold of level `l`, and
 * `UNJUDGED`. Most rows are judged and flagged by nothing; the tables here look at the others only.
 */
import type { Numbers } from '../select/scan.ts';
import { inType } from '../select/scores.ts';
import type { Measure } from './measures.ts';

export const UNJUDGED = 0x80;

/** Fills `states` for one measure and adds to its `totals` by level. A threshold is compared in the type of the values, as in selecting. */
export function judge(
  values: Numbers,
  { thresholds }: Measure,
  states: Uint8Array,
  totals: Float64Array,
): void {
  const type = values instanceof Float32Array ? 'FLOAT' : 'DOUBLE';
  const bounds = thresholds.map((threshold) => inType(threshold, type));
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    let state = Number.isNaN(value) ? UNJUDGED : 0;
    for (let l = 0; l < bounds.length; l++) {
      if (value >= bounds[l]) {
        state |= 1 << l;
        totals[l]++;
      }
    }
    states[i] = state;
  }
}

/** Counts of what two heads, and all of them, flag together. */
export class Agreement {
  readonly heads: readonly number[];
  readonly levels: number;
  rows = 0;
  /** Rows that some head flags, by level. */
  readonly any: Float64Array;
  /** Rows that a head flags, and those that it flags alone, by head and level. */
  readonly flagged: Float64Array;
  readonly alone: Float64Array;
  readonly #pairs: { unjudged: number; both: Float64Array; onlyA: Float64Array; onlyB: Float64Array }[];

  /** `heads` are the places of the measures that are compared. */
  constructor(heads: readonly number[], levels: number) {
    this.heads = heads;
    this.levels = levels;
    const zeros = (n: number) => new Float64Array(n);
    this.any = zeros(levels);
    this.flagged = zeros(heads.length * levels);
    this.alone = zeros(heads.length * levels);
    const pairs = (heads.length * (heads.length - 1)) / 2;
    this.#pairs = Array.from({ length: pairs }, () => ({
      ...{ unjudged: 0, both: zeros(levels), onlyA: zeros(levels), onlyB: zeros(levels) },
    }));
  }

  add(states: readonly Uint8Array[], rows: number): void {
    this.rows += rows;
    const own = this.heads.map((place) => states[place]);
    const row = new Uint8Array(own.length);
    for (let i = 0; i < rows; i++) {
      let all = 0;
      for (let h = 0; h < own.length; h++) {
        row[h] = own[h][i];
        all |= row[h];
      }
      if (all !== 0) this.#row(row, all);
    }
  }

  /** Of heads `a` and `b`, by their places among the heads, `a` before `b`. */
  pair(a: number, b: number, level: number) {
    const n = this.heads.length;
    const { unjudged, both, onlyA, onlyB } = this.#pairs[a * n - (a * (a + 1)) / 2 + b - a - 1];
    const [x, y, z] = [both[level], onlyA[level], onlyB[level]];
    const rows = this.rows - unjudged;
    return { rows, both: x, onlyA: y, onlyB: z, neither: rows - x - y - z };
  }

  #row(row: Uint8Array, all: number): void {
    const { levels } = this;
    for (let l = 0; l < levels; l++) {
      const bit = 1 << l;
      if ((all & bit) === 0) continue;
      this.any[l]++;
      let flags = 0;
      let last = 0;
      for (let h = 0; h < row.length; h++) {
        if ((row[h] & bit) === 0) continue;
        this.flagged[h * levels + l]++;
        flags++;
        last = h;
      }
      if (flags === 1) this.alone[last * levels + l]++;
    }
    for (let a = 0, p = 0; a < row.length; a++) {
      for (let b = a + 1; b < row.length; b++, p++) {
        const either = row[a] | row[b];
        if (either === 0) continue;
        const pair = this.#pairs[p];
        if (either >= UNJUDGED) {
          pair.unjudged++;
          continue;
        }
        for (let l = 0; l < levels; l++) {
          const bits = ((row[a] >> l) & 1) + 2 * ((row[b] >> l) & 1);
          if (bits === 3) pair.both[l]++;
          else if (bits === 1) pair.onlyA[l]++;
          else if (bits === 2) pair.onlyB[l]++;
        }
      }
    }
  }
}
