/** Near-duplicates in embedding space: SemDeDup (Abbas et al. 2023, arXiv 2303.09540). */
import { UsageError } from '../errors.ts';
import { assign } from './assign.ts';
import { checkpoint, type Matmul, TILE } from './matmul.ts';
import { gather, normalise } from './stream.ts';
import {
  type EmbeddingFile,
  type Float32Matrix,
  poolRows,
  type RowSet,
  type Side,
  slice,
  type WorkOptions,
} from './types.ts';

export interface NearDuplicatesOptions extends WorkOptions {
  matmul: Matmul;
  /** Of spherical k-means over the same embeddings; only rows of one cluster are compared. */
  centroids: Float32Matrix;
  /** A cosine above 1 − epsilon is a duplicate. */
  epsilon: number;
  /**
   * Which of a group stays: `hard` the one least like its centroid (default, the paper's), `easy` the one most
   * like it, `first` the first in the pool.
   */
  keep?: 'hard' | 'easy' | 'first';
  /** Rows to compare; default all. The others are not kept, and no row is a duplicate of them. */
  only?: RowSet;
  side?: Side;
  /** Bytes of rows held at a time. Default 256 MiB. */
  memory?: number;
}

export interface NearDuplicates {
  /** Per row of the pool: 1 for rows that stay. */
  keep: Uint8Array;
  /** The cluster of a row, or `UNASSIGNED`. */
  ids: Int32Array;
  /** Rows dropped as duplicates. */
  duplicates: number;
  /** Rows asked for that have no direction; they are not kept. */
  unjudged: number;
  /** Rows of the largest cluster: its square is what the comparison costs most. */
  largestCluster: number;
}

const MEMORY = 256 * 1024 * 1024;

/**
 * In each cluster rows stand in the order of `keep`, ties in the order of the pool, and a row goes if its cosine with
 * *any* row before it is above 1 − epsilon, whether that one stays or goes: the rule of the authors' `semdedup.py`.
 * Chains (a like b, b like c) so lose both b and c.
 *
 * Rows are normalised in float64, since float16 moves a row's cosine with its own copy by some 1e-5; products are float32, and
 * compared with 1 − epsilon in float32 as there. Holds an id and a cosine a row, and `memory` bytes of rows;
 * a cluster that is larger is compared tile by tile.
 */
export async function nearDuplicates(
  files: readonly EmbeddingFile[],
  options: NearDuplicatesOptions,
): Promise<NearDuplicates> {
  const { matmul, epsilon, only, side = 'image', memory = MEMORY, onProgress, signal } = options;
  if (!(epsilon > 0 && epsilon < 2))
    throw new UsageError(`epsilon must be above 0 and below 2, not ${epsilon}`);
  const centroids = unitCopy(options.centroids);
  const { ids, unjudged } = await assign(files, centroids, { matmul, only, side, signal });
  const keep = Uint8Array.from(ids, (id) => (id >= 0 ? 1 : 0));
  const clusters = byCluster(ids, centroids.rows);
  const total = poolRows(files);
  const threshold = Math.fround(1 - epsilon);
  const held = Math.max(2 * TILE, Math.trunc(memory / (4 * centroids.dim)));
  let done = 0;
  let largestCluster = 0;
  for (const group of inGroups(clusters, held)) {
    const rows = mergeRows(group);
    const read = rows.length <= held ? await unitRows(files, side, rows) : undefined;
    for (const cluster of group) {
      checkpoint(signal);
      largestCluster = Math.max(largestCluster, cluster.rows.length);
      const source: Source = read === undefined ? { files, side } : { rows, matrix: read };
      await dedupe(cluster, source, centroids, keep, threshold, options);
      done += cluster.rows.length;
      onProgress?.(done, total);
    }
  }
  const kept = keep.reduce((sum, one) => sum + one, 0);
  const judged = ids.reduce((sum, id) => sum + (id >= 0 ? 1 : 0), 0);
  return { keep, ids, duplicates: judged - kept, unjudged, largestCluster };
}

interface Cluster {
  id: number;
  /** Rows of the pool, ascending. */
  rows: Uint32Array;
}

/** Unit rows held in memory, by their places in `rows`; or the files, for a cluster that is too large. */
type Source = { rows: Uint32Array; matrix: Float32Matrix } | { files: readonly EmbeddingFile[]; side: Side };

async function dedupe(
  cluster: Cluster,
  source: Source,
  centroids: Float32Matrix,
  keep: Uint8Array,
  threshold: number,
  { matmul, keep: order = 'hard', signal }: NearDuplicatesOptions,
): Promise<void> {
  if (cluster.rows.length < 2) return;
  const centroid = slice(centroids, cluster.id, cluster.id + 1);
  const sorted = await sortCluster(cluster.rows, source, centroid, order);
  const block = (start: number) => take(source, sorted.subarray(start, start + TILE));
  for (let j = 0; j < sorted.length; j += TILE) {
    const right = await block(j);
    for (let i = 0; i <= j; i += TILE) {
      checkpoint(signal);
      const left = i === j ? right : await block(i);
      if (i < j) {
        // Every row on the left stands before every row on the right.
        const { value } = await matmul.best(right, left);
        for (let c = 0; c < right.rows; c++) if (value[c] > threshold) keep[sorted[j + c]] = 0;
        continue;
      }
      const cosines = await matmul.product(right, right);
      for (let c = 1; c < right.rows; c++) {
        for (let r = 0; r < c; r++) {
          if (cosines[c * right.rows + r] > threshold) {
            keep[sorted[j + c]] = 0;
            break;
          }
        }
      }
    }
  }
}

/** The rows in the order in which they are preferred. */
async function sortCluster(
  rows: Uint32Array,
  source: Source,
  centroid: Float32Matrix,
  order: 'hard' | 'easy' | 'first',
): Promise<Uint32Array> {
  if (order === 'first') return rows;
  const cosines = new Float64Array(rows.length);
  for (let start = 0; start < rows.length; start += TILE) {
    const { rows: count, dim, data } = await take(source, rows.subarray(start, start + TILE));
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += data[i * dim + d] * centroid.data[d];
      cosines[start + i] = sum;
    }
  }
  const sign = order === 'hard' ? 1 : -1;
  const places = Uint32Array.from(rows, (_, i) => i);
  places.sort((a, b) => sign * (cosines[a] - cosines[b]) || a - b);
  return places.map((place) => rows[place]);
}

/** Unit rows in the order given. */
async function take(source: Source, wanted: Uint32Array): Promise<Float32Matrix> {
  const ascending = wanted.slice().sort();
  const from = 'matrix' in source ? source.rows : ascending;
  const matrix = 'matrix' in source ? source.matrix : await unitRows(source.files, source.side, ascending);
  const { dim, data } = matrix;
  const out = new Float32Array(wanted.length * dim);
  for (const [i, row] of wanted.entries()) {
    const at = placeOf(from, row) * dim;
    out.set(data.subarray(at, at + dim), i * dim);
  }
  return { rows: wanted.length, dim, data: out };
}

function placeOf(sorted: Uint32Array, row: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < row) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function unitRows(
  files: readonly EmbeddingFile[],
  side: Side,
  rows: Uint32Array,
): Promise<Float32Matrix> {
  const matrix = await gather(files, side, rows);
  normalise(matrix);
  return matrix;
}

function unitCopy({ rows, dim, data }: Float32Matrix): Float32Matrix {
  const copy = { rows, dim, data: data.slice() };
  normalise(copy);
  return copy;
}

function byCluster(ids: Int32Array, k: number): Cluster[] {
  const counts = new Uint32Array(k);
  for (const id of ids) if (id >= 0) counts[id]++;
  const clusters = Array.from(counts, (count, id) => ({ id, rows: new Uint32Array(count) }));
  counts.fill(0);
  for (const [row, id] of ids.entries()) if (id >= 0) clusters[id].rows[counts[id]++] = row;
  return clusters;
}

function mergeRows(group: readonly Cluster[]): Uint32Array {
  const rows = new Uint32Array(group.reduce((sum, cluster) => sum + cluster.rows.length, 0));
  let at = 0;
  for (const cluster of group) {
    rows.set(cluster.rows, at);
    at += cluster.rows.length;
  }
  return rows.sort();
}

/** Clusters whose rows are read together: as many as can be held, or one that cannot. */
function* inGroups(clusters: readonly Cluster[], held: number): Generator<Cluster[]> {
  let group: Cluster[] = [];
  let count = 0;
  for (const cluster of clusters) {
    if (cluster.rows.length === 0) continue;
    if (count > 0 && count + cluster.rows.length > held) {
      yield group;
      group = [];
      count = 0;
    }
    group.push(cluster);
    count += cluster.rows.length;
  }
  if (group.length > 0) yield group;
}
