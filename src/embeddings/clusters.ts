/** Centroids while they are trained: what is added up between two moves, and how empty clusters are filled. */
import type { RowBest } from './matmul.ts';
import { MersenneTwister } from './random.ts';
import { normalise } from './stream.ts';
import type { Float32Matrix } from './types.ts';

/** faiss moves the halves of a split cluster apart by this factor on every value (`Clustering.cpp`). */
const SPLIT_FACTOR = 1 / 1024;
/** The seed of faiss's splits, the same in every pass. */
const SPLIT_SEED = 1234;

export class Clusters {
  readonly centroids: Float32Matrix;
  /** `−‖c‖²/2`: the largest `x·c + bias` is the smallest distance. */
  readonly bias: Float32Array;
  readonly #spherical: boolean;
  readonly #sums: Float64Array;
  /** Rows since the last move. */
  readonly #counts: Float64Array;
  /** Rows that a centroid stands for: of the last pass, or of all mini-batches. */
  readonly #weights: Float64Array;

  constructor(first: Float32Matrix, spherical: boolean) {
    this.centroids = first;
    this.#spherical = spherical;
    this.bias = new Float32Array(first.rows);
    this.#sums = new Float64Array(first.data.length);
    this.#counts = new Float64Array(first.rows);
    this.#weights = new Float64Array(first.rows);
    this.#settle();
  }

  /** Adds sound rows to their clusters; returns their sum of squared distances (or of cosines). */
  add({ rows, dim, data }: Float32Matrix, best: RowBest, sound: Uint8Array): number {
    let objective = 0;
    for (let i = 0; i < rows; i++) {
      if (sound[i] === 0) continue;
      const to = best.index[i] * dim;
      let squares = 0;
      for (let d = 0; d < dim; d++) {
        const value = data[i * dim + d];
        squares += value * value;
        this.#sums[to + d] += value;
      }
      this.#counts[best.index[i]]++;
      objective += this.#spherical ? best.value[i] : squares - 2 * best.value[i];
    }
    return objective;
  }

  /** Lloyd's move: each centroid to the mean of its rows. An empty one stays for `split`. False if none moved. */
  replace(): boolean {
    const { rows, dim, data } = this.centroids;
    const before = data.slice();
    for (let c = 0; c < rows; c++) {
      const count = this.#counts[c];
      this.#weights[c] = count;
      for (let at = c * dim; count > 0 && at < (c + 1) * dim; at++) data[at] = this.#sums[at] / count;
    }
    this.#sums.fill(0);
    this.#counts.fill(0);
    this.#settle();
    return data.some((value, at) => value !== before[at]);
  }

  /** A mini-batch's move: each centroid is the mean of all rows it was given so far (Sculley 2010). */
  blend(): void {
    const { rows, dim, data } = this.centroids;
    for (let c = 0; c < rows; c++) {
      const count = this.#counts[c];
      if (count === 0) continue;
      this.#weights[c] += count;
      const weight = this.#weights[c];
      for (let at = c * dim; at < (c + 1) * dim; at++) {
        data[at] += (this.#sums[at] - count * data[at]) / weight;
        this.#sums[at] = 0;
      }
      this.#counts[c] = 0;
      this.#settleOne(c);
    }
  }

  /**
   * Gives each empty cluster half of another, drawn with a chance that grows with its rows, as faiss does. Returns
   * how many there were. `n` is the number of rows.
   */
  split(n: number): number {
    const { rows: k, dim, data } = this.centroids;
    const weights = this.#weights;
    const random = new MersenneTwister(SPLIT_SEED);
    let empty = 0;
    for (let c = 0; c < k; c++) {
      if (weights[c] !== 0 || !weights.some((weight) => weight > 1)) continue;
      let from = 0;
      while (!(random.float() < Math.fround((weights[from] - 1) / Math.fround(n - k)))) from = (from + 1) % k;
      for (let d = 0; d < dim; d++) {
        const value = data[from * dim + d];
        const [up, down] = [Math.fround(value * (1 + SPLIT_FACTOR)), Math.fround(value * (1 - SPLIT_FACTOR))];
        data[c * dim + d] = d % 2 === 0 ? up : down;
        data[from * dim + d] = d % 2 === 0 ? down : up;
      }
      weights[c] = weights[from] / 2;
      weights[from] -= weights[c];
      empty++;
    }
    if (empty > 0) this.#settle();
    return empty;
  }

  #settle(): void {
    for (let c = 0; c < this.centroids.rows; c++) this.#settleOne(c);
  }

  /** Unit length where asked for, and the bias that belongs to the centroid. */
  #settleOne(c: number): void {
    const { dim, data } = this.centroids;
    const row = data.subarray(c * dim, (c + 1) * dim);
    if (this.#spherical) normalise({ rows: 1, dim, data: row });
    let squares = 0;
    for (const value of row) squares += value * value;
    this.bias[c] = -squares / 2;
  }
}
