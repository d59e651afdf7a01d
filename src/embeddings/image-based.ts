/** DataComp's `image_based`: pictures that fall to the same centroids as a target set's. */
import { type AssignOptions, assign, nearest } from './assign.ts';
import { tiles } from './matmul.ts';
import { type EmbeddingFile, type Float32Matrix, type Matrices, sameDim } from './types.ts';

/**
 * The centroids that some target falls to, ascending, each once. A target falls to a centroid as a row of the pool
 * does: by the largest dot product, so its length does not matter. `targets` are image embeddings of the same model.
 */
export async function targetCentroids(
  targets: Matrices,
  centroids: Float32Matrix,
  { matmul, onProgress, signal }: Pick<AssignOptions, 'matmul' | 'onProgress' | 'signal'>,
): Promise<Int32Array> {
  const met = new Set<number>();
  let done = 0;
  for await (const matrix of targets) {
    sameDim(matrix, centroids, { a: 'the target set', b: 'the set of centroids' });
    for (const { tile } of tiles(matrix)) {
      for (const id of (await nearest(matmul, tile, centroids, undefined, signal)).index) met.add(id);
      done += tile.rows;
      onProgress?.(done, done);
    }
  }
  return Int32Array.from(met).sort();
}

export interface ImageBased {
  /** Per row of the pool: 1 where its centroid is one of the targets'; 0 for rows not asked for. */
  keep: Uint8Array;
  /** The centroid a row falls to, or `UNASSIGNED`. */
  ids: Int32Array;
  /** Rows asked for whose embedding has no direction; they are not kept. */
  unjudged: number;
}

/** Which rows fall to one of `targetIds`; `centroids` and the rule are those of `assign`. */
export async function imageBased(
  files: readonly EmbeddingFile[],
  centroids: Float32Matrix,
  targetIds: Int32Array,
  options: AssignOptions,
): Promise<ImageBased> {
  const wanted = new Uint8Array(centroids.rows);
  for (const id of targetIds) wanted[id] = 1;
  const { ids, unjudged } = await assign(files, centroids, options);
  return { keep: Uint8Array.from(ids, (id) => (id >= 0 ? wanted[id] : 0)), ids, unjudged };
}
