/** negCLIPLoss (Wang et al. 2024, arXiv 2405.19547): a CLIP score less what its batch explains of it. */
import { MetadataError } from '../errors.ts';
import { checkpoint, type Matmul, tiles } from './matmul.ts';
import { derivedSeed, permutation } from './random.ts';
import { gather, soundRows } from './stream.ts';
import {
  type EmbeddingFile,
  type Float32Matrix,
  poolRows,
  sameDim,
  slice,
  type WorkOptions,
} from './types.ts';

/** Defaults: batch and τ of the paper's experiments, one partition as the authors' code has it (`average_num`). */
export const NEGCLIPLOSS = { batch: 32_768, batches: 1, temperature: 0.01, seed: 0 } as const;

export interface NegClipLossOptions extends WorkOptions {
  matmul: Matmul;
  /** Pairs that are compared with one another. */
  batch?: number;
  /** K: random partitions whose normalisations are averaged. */
  batches?: number;
  /** τ. */
  temperature?: number;
  seed?: number;
  /** Partition each metadata file by itself (default, as the authors' code), or the pool as a whole. */
  within?: 'file' | 'pool';
}

export interface NegClipLoss {
  /** Per row of the pool; NaN where one of the embeddings has no direction. */
  scores: Float32Array;
  /** Rows whose score is NaN; they are in no batch. */
  unjudged: number;
}

/**
 * `s_ii − τ/2 · [log Σ_j exp(s_ij/τ) + log Σ_j exp(s_ji/τ)]` for each pair i of a pool, s the dot product of the unit
 * embeddings as stored, sums over a random batch that holds i (i included), averaged over K partitions. The last
 * batch of a partition is what is left over. The partition of a file follows from the seed, the file's base name
 * and the round alone.
 *
 * Products are float32, summed by log-sum-exp in tiles and joined in float64: no similarity matrix is held, and no
 * exponential overflows. Memory: both embeddings of one batch in float32, and 8 bytes a row.
 */
export async function negClipLoss(
  files: readonly EmbeddingFile[],
  options: NegClipLossOptions,
): Promise<NegClipLoss> {
  const { within = 'file', batch = NEGCLIPLOSS.batch, batches = NEGCLIPLOSS.batches } = options;
  const { seed = NEGCLIPLOSS.seed, signal, onProgress } = options;
  const total = poolRows(files);
  const scores = new Float64Array(total);
  let start = 0;
  let done = 0;
  const groups =
    within === 'pool'
      ? [{ rows: total, name: 'pool' }]
      : files.map(({ rows, shard }) => ({ rows, name: shard }));
  for (const group of groups) {
    for (let round = 0; round < batches; round++) {
      for (const rows of partition(group.rows, { batch, seed, name: group.name, round })) {
        checkpoint(signal);
        for (let i = 0; i < rows.length; i++) rows[i] += start;
        await addBatch(files, rows, scores, options);
        done += rows.length;
        onProgress?.(done, total * batches);
      }
    }
    start += group.rows;
  }
  let unjudged = 0;
  const averaged = Float32Array.from(scores, (sum) => sum / batches);
  for (const score of averaged) if (Number.isNaN(score)) unjudged++;
  return { scores: averaged, unjudged };
}

/**
 * The batches of one round over the rows of a file, or of the pool under the name `pool`: ascending row numbers, each
 * row in one batch.
 */
export function* partition(
  rows: number,
  { batch, seed, name, round }: { batch: number; seed: number; name: string; round: number },
): Generator<Uint32Array> {
  const order = permutation(rows, derivedSeed(seed, name, round));
  for (let at = 0; at < rows; at += batch) yield order.slice(at, at + batch).sort();
}

async function addBatch(
  files: readonly EmbeddingFile[],
  rows: Uint32Array,
  scores: Float64Array,
  options: NegClipLossOptions,
): Promise<void> {
  const { matmul, temperature = NEGCLIPLOSS.temperature, signal } = options;
  const image = await gather(files, 'image', rows);
  const text = await gather(files, 'text', rows);
  sameDim(image, text, { a: 'the image side', b: 'the text side' });
  const kept = keepSound(rows, image, text, scores);
  const pairs = { image: slice(image, 0, kept.length), text: slice(text, 0, kept.length) };
  checkUnit(pairs.image, files, kept);
  checkUnit(pairs.text, files, kept);
  const { byRow, byColumn } = await logSumExp(matmul, pairs.image, pairs.text, 1 / temperature, signal);
  for (let i = 0; i < kept.length; i++) {
    scores[kept[i]] += dot(pairs.image, pairs.text, i) - (temperature / 2) * (byRow[i] + byColumn[i]);
  }
}

/** `log Σ_j exp(scale · a_i·b_j)` for each row of A, and the same over i for each row of B, a tile at a time. */
export async function logSumExp(
  matmul: Matmul,
  a: Float32Matrix,
  b: Float32Matrix,
  scale: number,
  signal?: AbortSignal,
): Promise<{ byRow: Float64Array; byColumn: Float64Array }> {
  const rows = new Accumulator(a.rows);
  const columns = new Accumulator(b.rows);
  for (const left of tiles(a)) {
    for (const right of tiles(b)) {
      checkpoint(signal);
      const sums = await matmul.expSums(left.tile, right.tile, scale);
      rows.add(left.start, sums.rowMax, sums.rowSum);
      columns.add(right.start, sums.columnMax, sums.columnSum);
    }
  }
  return { byRow: rows.logs(), byColumn: columns.logs() };
}

/** Joins partial sums of exponentials, each relative to a maximum of its own. */
class Accumulator {
  readonly #max: Float64Array;
  readonly #sum: Float64Array;

  constructor(length: number) {
    this.#max = new Float64Array(length).fill(Number.NEGATIVE_INFINITY);
    this.#sum = new Float64Array(length);
  }

  add(start: number, max: Float32Array, sum: Float32Array): void {
    for (let i = 0; i < max.length; i++) {
      const before = this.#max[start + i];
      const after = Math.max(before, max[i]);
      this.#sum[start + i] =
        this.#sum[start + i] * Math.exp(before - after) + sum[i] * Math.exp(max[i] - after);
      this.#max[start + i] = after;
    }
  }

  logs(): Float64Array {
    return this.#max.map((max, i) => max + Math.log(this.#sum[i]));
  }
}

/** Moves pairs that can be judged to the front of both matrices and returns their rows; the others' score is NaN. */
function keepSound(
  rows: Uint32Array,
  image: Float32Matrix,
  text: Float32Matrix,
  scores: Float64Array,
): Uint32Array {
  const [images, texts] = [soundRows(image), soundRows(text)];
  const kept = new Uint32Array(rows.length);
  let count = 0;
  for (let i = 0; i < rows.length; i++) {
    if (images[i] === 0 || texts[i] === 0) {
      scores[rows[i]] = Number.NaN;
      continue;
    }
    for (const { data, dim } of [image, text]) data.copyWithin(count * dim, i * dim, (i + 1) * dim);
    kept[count++] = rows[i];
  }
  return kept.subarray(0, count);
}

/** float16 moves a unit length by less than 1e-3; what is further off was never normalised. */
const UNIT_TOLERANCE = 0.02;

function checkUnit(
  { rows, dim, data }: Float32Matrix,
  files: readonly EmbeddingFile[],
  places: Uint32Array,
): void {
  for (let i = 0; i < rows; i++) {
    let squares = 0;
    for (let at = i * dim; at < (i + 1) * dim; at++) squares += data[at] * data[at];
    if (Math.abs(Math.sqrt(squares) - 1) <= UNIT_TOLERANCE) continue;
    const { file, row } = placeOf(files, places[i]);
    throw new MetadataError(
      `the embedding of row ${row} has length ${Math.sqrt(squares).toPrecision(4)}, not 1`,
      {
        file,
        hint: 'negCLIPLoss is of cosines: the embeddings must be normalised',
      },
    );
  }
}

function placeOf(files: readonly EmbeddingFile[], row: number): { file: string; row: number } {
  let start = 0;
  for (const file of files) {
    if (row < start + file.rows) return { file: file.name, row: row - start };
    start += file.rows;
  }
  return { file: '', row };
}

function dot(a: Float32Matrix, b: Float32Matrix, i: number): number {
  let sum = 0;
  for (let at = i * a.dim; at < (i + 1) * a.dim; at++) sum += a.data[at] * b.data[at];
  return sum;
}
