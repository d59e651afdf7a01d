/** NormSim (Wang et al. 2024, arXiv 2405.19547): how near a picture is to a target task's pictures. */
import { MetadataError } from '../errors.ts';
import { checkpoint, type Matmul, TILE, tiles } from './matmul.ts';
import { join, listRows, type Piece, pieces, soundRows } from './stream.ts';
import {
  type EmbeddingFile,
  type Float32Matrix,
  type Matrices,
  poolRows,
  type RowSet,
  sameDim,
  slice,
  type WorkOptions,
} from './types.ts';

export interface NormSimOptions extends WorkOptions {
  matmul: Matmul;
  /** 2, or the largest absolute value. */
  p: 2 | 'inf';
  /** Rows to score; the others get NaN. Default all. */
  only?: RowSet;
}

export interface NormSim {
  /** Per row of the pool; NaN where a row was not asked for or its embedding has no direction. */
  scores: Float32Array;
  /** Rows asked for that have no direction. */
  unjudged: number;
}

/** Targets that are held while the pool passes by: 200 MB at 768 values. */
const HELD_TARGETS = 32 * TILE;

/**
 * `(Σ_x |⟨f(x), f(i)⟩|^p)^(1/p)` over the image embeddings x of a target set, for each picture i of the pool, both as
 * they are stored; p = ∞ is the largest absolute value, as `torch.norm` has it. `targets` is read once.
 *
 * p = ∞: float32 products; the pool passes once for every 65,536 targets. p = 2: with no more targets than values a
 * row, float32 squares summed in float64 over tiles; with more, by `f(i)ᵀ G f(i)` with the Gram matrix G of the
 * targets (summed in float64 over tiles of float32 products): one pass over targets and one over the pool, with a
 * relative error of some 1e-6 where a picture is not orthogonal to all targets.
 */
export async function normSim(
  files: readonly EmbeddingFile[],
  targets: Matrices,
  options: NormSimOptions,
): Promise<NormSim> {
  const total = poolRows(files);
  const pass = { files, selected: listRows(total, options.only), options, total };
  const scores = new Float32Array(total).fill(Number.NaN);
  return options.p === 2 ? euclidean(pass, targets, scores) : largest(pass, targets, scores);
}

interface Pass {
  files: readonly EmbeddingFile[];
  selected: Uint32Array | undefined;
  total: number;
  options: NormSimOptions;
}

async function largest(pass: Pass, targets: Matrices, scores: Float32Array): Promise<NormSim> {
  const { matmul, signal } = pass.options;
  let unjudged: number | undefined;
  for await (const held of inGroups(targets)) {
    unjudged = await overPool(pass, scores, async ({ rows, matrix }) => {
      sameDim(matrix, held, { a: 'the pool', b: 'the target set' });
      for (const { tile } of tiles(held)) {
        checkpoint(signal);
        const values = await matmul.largest(matrix, tile);
        for (let i = 0; i < values.length; i++) {
          if (!(values[i] <= scores[rows[i]])) scores[rows[i]] = values[i];
        }
      }
    });
  }
  if (unjudged === undefined) throw noTargets();
  return { scores, unjudged };
}

async function euclidean(pass: Pass, targets: Matrices, scores: Float32Array): Promise<NormSim> {
  const { matmul } = pass.options;
  const { gram, few, dim } = await readTargets(targets, pass.options);
  const unjudged = await overPool(pass, scores, async ({ rows, matrix }) => {
    sameDim(matrix, gram, { a: 'the pool', b: 'the target set' });
    const sums = new Float64Array(matrix.rows);
    if (few !== undefined) {
      for (const part of few) {
        const squares = await matmul.squares(matrix, part);
        for (let i = 0; i < sums.length; i++) sums[i] += squares[i];
      }
    } else {
      // G is symmetric, so F·Gᵀ is F·G.
      const moved = await matmul.product(matrix, gram);
      for (let i = 0; i < matrix.rows; i++) {
        for (let at = i * dim; at < (i + 1) * dim; at++) sums[i] += moved[at] * matrix.data[at];
      }
    }
    for (let i = 0; i < sums.length; i++) scores[rows[i]] = Math.sqrt(Math.max(0, sums[i]));
  });
  return { scores, unjudged };
}

/** The Gram matrix of the targets, and the targets themselves where they are no more than values a row. */
async function readTargets(targets: Matrices, { matmul, signal }: NormSimOptions) {
  let sum: Float64Array | undefined;
  let dim = 0;
  let count = 0;
  const few: Float32Matrix[] = [];
  for await (const matrix of targets) {
    dim ||= matrix.dim;
    sum ??= new Float64Array(dim * dim);
    sameDim(matrix, { ...matrix, dim }, { a: 'one part of the target set', b: 'another' });
    count += matrix.rows;
    if (count <= dim) few.push(matrix);
    for (const { tile } of tiles(matrix)) {
      checkpoint(signal);
      const part = await matmul.gram(tile);
      for (let i = 0; i < sum.length; i++) sum[i] += part[i];
    }
  }
  if (sum === undefined || count === 0) throw noTargets();
  const gram: Float32Matrix = { rows: dim, dim, data: Float32Array.from(sum) };
  return { gram, dim, ...(count <= dim ? { few } : {}) };
}

/** Visits the rows asked for; those without a direction are NaN afterwards, and counted. */
async function overPool(
  { files, selected, total, options }: Pass,
  scores: Float32Array,
  visit: (piece: Piece) => Promise<void>,
): Promise<number> {
  let unjudged = 0;
  let done = 0;
  for await (const piece of pieces(files, 'image', selected, options.signal)) {
    await visit(piece);
    for (const [i, sound] of soundRows(piece.matrix).entries()) {
      if (sound === 1) continue;
      scores[piece.rows[i]] = Number.NaN;
      unjudged++;
    }
    done += piece.rows.length;
    options.onProgress?.(done, selected?.length ?? total);
  }
  return unjudged;
}

/** The targets in groups that can be held. */
async function* inGroups(targets: Matrices): AsyncGenerator<Float32Matrix, void, undefined> {
  let held: Float32Matrix[] = [];
  let count = 0;
  for await (const matrix of targets) {
    for (let start = 0; start < matrix.rows; start += HELD_TARGETS) {
      const part = slice(matrix, start, Math.min(start + HELD_TARGETS, matrix.rows));
      if (count > 0 && count + part.rows > HELD_TARGETS) {
        yield join(held);
        held = [];
        count = 0;
      }
      held.push(part);
      count += part.rows;
    }
  }
  if (count > 0) yield join(held);
}

function noTargets(): MetadataError {
  return new MetadataError('the target set holds no embeddings');
}
