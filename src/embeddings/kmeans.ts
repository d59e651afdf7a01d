/**
 * K-means over the embeddings of a pool, streamed. Lloyd's is what faiss's `Clustering` computes with the same seed
 * (docs/embeddings.md says what is matched and what is not); mini-batch is for pools that cannot be read 20 times.
 */
import { MetadataError, UsageError } from '../errors.ts';
import { nearest } from './assign.ts';
import { Clusters } from './clusters.ts';
import type { Matmul } from './matmul.ts';
import { permutation } from './random.ts';
import { gather, soundRows } from './stream.ts';
import { Training } from './training.ts';
import {
  type EmbeddingFile,
  type Float32Matrix,
  poolRows,
  type RowSet,
  type Side,
  type WorkOptions,
} from './types.ts';

/** Passes over the rows where none are given: faiss's `niter` in DataComp, and enough for mini-batches to settle. */
export const ITERATIONS = { lloyd: 20, minibatch: 3 } as const;

export interface KMeansOptions extends WorkOptions {
  matmul: Matmul;
  /** Number of centroids. */
  k: number;
  method?: 'lloyd' | 'minibatch';
  /** Passes over the rows. */
  iterations?: number;
  /** Default 0, as DataComp's script. */
  seed?: number;
  /** Centroids of unit length, rows assigned by cosine (SemDeDup). Default false (DataComp). */
  spherical?: boolean;
  /** Train on a random sample of at most so many rows a centroid. Default: all rows, as DataComp's script. */
  maxPointsPerCentroid?: number;
  /** Train on this share of the rows, (0, 1], drawn without putting back. */
  sample?: number;
  /** Rows to train on; default all. */
  only?: RowSet;
  side?: Side;
  /** Bytes of rows that may be held instead of read again in each pass. Default 512 MiB. */
  memory?: number;
  onIteration?: (report: { iteration: number; objective: number; split: number }) => void;
}

export interface KMeans {
  /** Float32 `[k, dim]`. */
  centroids: Float32Matrix;
  /** Rows trained on. */
  rows: number;
  /** Rows passed over, as they have no direction (a NaN, an infinity, all zeros). */
  unjudged: number;
  /**
   * Of the last pass, seen by the centroids before it moved them: the sum of squared distances; with `spherical`
   * the sum of cosines.
   */
  objective: number;
}

/**
 * Trains centroids. The result follows from rows, options and seed alone, whatever the number of threads.
 *
 * Holds `16 · k · dim` bytes for centroids and sums, two pieces of rows, 4 bytes a row where a sample is drawn, and
 * rows up to `memory`. Throws `UsageError` for a k that makes no sense, `MetadataError` where there are fewer rows.
 */
export async function kMeans(files: readonly EmbeddingFile[], options: KMeansOptions): Promise<KMeans> {
  const { k, method = 'lloyd', iterations = ITERATIONS[method], seed = 0, spherical = false } = options;
  if (!Number.isSafeInteger(k) || k < 1) throw new UsageError(`k must be a whole number above 0, not ${k}`);
  const training = new Training(files, chooseRows(files, options), options);
  if (training.rows < k) {
    throw new MetadataError(`${training.rows} rows cannot make ${k} clusters`, {
      hint: 'Ask for fewer clusters, or train on more rows',
    });
  }
  const clusters = new Clusters(await firstCentroids(files, training, k, options), spherical);
  let objective = 0;
  let unjudged = 0;
  for (let iteration = 0; iteration < iterations; iteration++) {
    objective = 0;
    unjudged = 0;
    const order = method === 'minibatch' ? permutation(training.pieces, seed + 2 + iteration) : undefined;
    for await (const matrix of training.pass(order)) {
      const bias = spherical ? undefined : clusters.bias;
      const best = await nearest(options.matmul, matrix, clusters.centroids, bias, options.signal);
      const sound = soundRows(matrix);
      objective += clusters.add(matrix, best, sound);
      unjudged += sound.reduce((count, ok) => count + (1 - ok), 0);
      if (method === 'minibatch') clusters.blend();
      options.onProgress?.(training.done, training.rows * iterations);
    }
    const moved = method === 'minibatch' || clusters.replace();
    const split = clusters.split(training.rows);
    options.onIteration?.({ iteration: iteration + 1, objective, split });
    // What did not move now never will.
    if (!moved && split === 0) break;
  }
  return { centroids: clusters.centroids, rows: training.rows - unjudged, unjudged, objective };
}

/** The rows to train on: all, or the first of a permutation, as faiss subsamples. */
function chooseRows(
  files: readonly EmbeddingFile[],
  { k, only, sample = 1, seed = 0, maxPointsPerCentroid = Number.POSITIVE_INFINITY }: KMeansOptions,
): { order?: Uint32Array; total: number } {
  if (!(sample > 0 && sample <= 1)) throw new UsageError(`the sample must be in (0, 1], not ${sample}`);
  const total = poolRows(files);
  let eligible: Uint32Array | undefined;
  if (only !== undefined) {
    eligible = Uint32Array.from({ length: total }, (_, row) => row).filter((row) => only.get(row));
  }
  const count = eligible?.length ?? total;
  const wanted = Math.min(Math.trunc(count * sample), k * maxPointsPerCentroid);
  if (wanted >= count) return { order: eligible, total };
  const drawn = permutation(count, seed).slice(0, wanted);
  return { order: eligible === undefined ? drawn : drawn.map((place) => eligible[place]), total };
}

/** The first k rows, in random order, that have a direction. */
async function firstCentroids(
  files: readonly EmbeddingFile[],
  training: Training,
  k: number,
  { seed = 0, side = 'image' }: KMeansOptions,
): Promise<Float32Matrix> {
  const random = permutation(training.rows, seed + 1);
  const order = training.order;
  const chosen = order === undefined ? random : random.map((place) => order[place]);
  let centroids: Float32Matrix | undefined;
  let found = 0;
  for (let at = 0; at < chosen.length && found < k; ) {
    const batch = chosen.subarray(at, at + k - found);
    at += batch.length;
    // Read in the order of the pool, set down in the order drawn.
    const sorted = batch.slice().sort();
    const place = new Map([...sorted].map((row, i) => [row, i]));
    const matrix = await gather(files, side, sorted);
    const sound = soundRows(matrix);
    centroids ??= { rows: k, dim: matrix.dim, data: new Float32Array(k * matrix.dim) };
    for (const row of batch) {
      const i = place.get(row) ?? 0;
      if (sound[i] === 0) continue;
      centroids.data.set(matrix.data.subarray(i * matrix.dim, (i + 1) * matrix.dim), found * matrix.dim);
      found++;
    }
  }
  if (centroids === undefined || found < k) {
    throw new MetadataError(`only ${found} rows have an embedding with a direction, for ${k} clusters`);
  }
  return centroids;
}
