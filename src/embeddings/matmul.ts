/**
 * Products of two sets of rows, `C[m,n] = A[m,k] · B[n,k]ᵀ` in float32, one tile a call, and what the methods want
 * of a tile, so that the tile itself need not be copied out of a runtime (or off a GPU).
 *
 * Callers cut their matrices to tiles of `TILE` rows a side: 16 MB of products. A value's bits do not depend on the
 * number of threads.
 */
import { CancelledError } from '../errors.ts';
import { type Float32Matrix, slice } from './types.ts';

/** Rows of a tile, both ways. */
export const TILE = 2048;

/** For each row of A: the largest value, and the first column that has it. */
export interface RowBest {
  value: Float32Array;
  index: Int32Array;
}

/**
 * Log-sum-exp in two parts, so that tiles can be joined: log Σ exp = max + log(sum). `max` is what the exponentials
 * were taken relative to: the largest value, or one a little above it.
 */
export interface ExpSums {
  rowMax: Float32Array;
  rowSum: Float32Array;
  columnMax: Float32Array;
  columnSum: Float32Array;
}

export interface Matmul {
  /** What computes: `plain`, or an execution provider (`cpu`, `webgpu`, …). */
  readonly provider: string;
  /** The tile itself, row-major `[m, n]`. */
  product(a: Float32Matrix, b: Float32Matrix): Promise<Float32Array>;
  /** `max_j (a_i·b_j + bias_j)`, first of equals as `torch.argmax` on a CPU. `bias` is `[n]`. */
  best(a: Float32Matrix, b: Float32Matrix, bias?: Float32Array): Promise<RowBest>;
  /** `max_j |a_i·b_j|`. */
  largest(a: Float32Matrix, b: Float32Matrix): Promise<Float32Array>;
  /** `Σ_j (a_i·b_j)²`. */
  squares(a: Float32Matrix, b: Float32Matrix): Promise<Float32Array>;
  /** Of `scale · a_i·b_j`, by rows and by columns. */
  expSums(a: Float32Matrix, b: Float32Matrix, scale: number): Promise<ExpSums>;
  /** `AᵀA`, `[k, k]`. */
  gram(a: Float32Matrix): Promise<Float32Array>;
  /** Frees the runtime's memory. */
  release(): Promise<void>;
}

/** The tiles of a matrix, as views, in order. */
export function* tiles(matrix: Float32Matrix): Generator<{ start: number; tile: Float32Matrix }> {
  for (let start = 0; start < matrix.rows; start += TILE) {
    yield { start, tile: slice(matrix, start, Math.min(start + TILE, matrix.rows)) };
  }
}

/** Throws `CancelledError` once the signal was given; asked between tiles. */
export function checkpoint(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new CancelledError();
}
