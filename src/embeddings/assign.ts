/** Which centroid each row falls to, by DataComp's rule. */
import { checkpoint, type Matmul, type RowBest, tiles } from './matmul.ts';
import { listRows, pieces, soundRows } from './stream.ts';
import {
  type EmbeddingFile,
  type Float32Matrix,
  poolRows,
  type RowSet,
  type Side,
  sameDim,
  type WorkOptions,
} from './types.ts';

/** A row that was not asked for, or has no direction (a NaN, an infinity, all zeros). */
export const UNASSIGNED = -1;

/** For each row: the largest `x·c + bias_c` over all centroids, and the first centroid that has it. */
export async function nearest(
  matmul: Matmul,
  rows: Float32Matrix,
  centroids: Float32Matrix,
  bias?: Float32Array,
  signal?: AbortSignal,
): Promise<RowBest> {
  const best: RowBest = {
    value: new Float32Array(rows.rows).fill(Number.NEGATIVE_INFINITY),
    index: new Int32Array(rows.rows),
  };
  for (const { start, tile } of tiles(centroids)) {
    checkpoint(signal);
    const { value, index } = await matmul.best(rows, tile, bias?.subarray(start, start + tile.rows));
    for (let i = 0; i < rows.rows; i++) {
      if (value[i] > best.value[i]) {
        best.value[i] = value[i];
        best.index[i] = start + index[i];
      }
    }
  }
  return best;
}

export interface AssignOptions extends WorkOptions {
  matmul: Matmul;
  /** Rows to assign; default all. */
  only?: RowSet;
  side?: Side;
}

export interface Assignment {
  /** Per row of the pool: the centroid's number, or `UNASSIGNED`. */
  ids: Int32Array;
  /** Rows asked for that have no direction. */
  unjudged: number;
}

/**
 * The centroid with the largest *dot product*, as DataComp's `image_based` takes it: centroids are not normalised, so
 * a long one attracts more than a short one, and this is not the cluster of k-means. The first of equals, as
 * `torch.argmax` on a CPU; products are float32, so two centroids within some 1e-6 of each other may change places
 * between machines. Holds the ids, the centroids and two pieces of rows.
 */
export async function assign(
  files: readonly EmbeddingFile[],
  centroids: Float32Matrix,
  options: AssignOptions,
): Promise<Assignment> {
  const { matmul, only, side = 'image', onProgress, signal } = options;
  const total = poolRows(files);
  const ids = new Int32Array(total).fill(UNASSIGNED);
  const selected = listRows(total, only);
  let unjudged = 0;
  let done = 0;
  for await (const { rows, matrix } of pieces(files, side, selected, signal)) {
    sameDim(matrix, centroids, { a: 'the pool', b: 'the set of centroids' });
    const { index } = await nearest(matmul, matrix, centroids, undefined, signal);
    for (const [i, sound] of soundRows(matrix).entries()) {
      if (sound === 1) ids[rows[i]] = index[i];
      else unjudged++;
    }
    done += rows.length;
    onProgress?.(done, selected?.length ?? total);
  }
  return { ids, unjudged };
}
