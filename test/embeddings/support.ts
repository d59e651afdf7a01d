import type { EmbeddingFile, Float32Matrix, RowRange } from '../../src/embeddings/types.ts';

/** Numbers in [0, 1), the same for a seed (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Rows of values between −1 and 1, of unit length if so asked. */
export function randomMatrix(rows: number, dim: number, seed: number, unit = false): Float32Matrix {
  const next = uniform(seed);
  const data = Float32Array.from({ length: rows * dim }, () => next() * 2 - 1);
  for (let i = 0; unit && i < rows; i++) {
    const row = data.subarray(i * dim, (i + 1) * dim);
    const norm = Math.hypot(...row);
    for (let k = 0; k < dim; k++) row[k] /= norm;
  }
  return { rows, dim, data };
}

/** Some rows of a matrix, as a metadata file would give them. */
export function pick(matrix: Float32Matrix, rows?: RowRange): Float32Matrix {
  const { dim, data } = matrix;
  const wanted =
    rows instanceof Uint32Array
      ? [...rows]
      : Array.from(
          { length: (rows?.end ?? matrix.rows) - (rows?.start ?? 0) },
          (_, i) => i + (rows?.start ?? 0),
        );
  return {
    rows: wanted.length,
    dim,
    data: Float32Array.from(wanted.flatMap((row) => [...data.subarray(row * dim, (row + 1) * dim)])),
  };
}

/** Matrices as metadata files, cut at these rows. */
export function asFiles(
  image: Float32Matrix,
  text: Float32Matrix,
  cuts: readonly number[] = [],
): EmbeddingFile[] {
  const edges = [0, ...cuts, image.rows];
  return edges.slice(1).map((end, i) => {
    const start = edges[i];
    const part = (matrix: Float32Matrix) => pick(matrix, { start, end });
    return {
      name: `memory/${i}.npz`,
      shard: String(i).padStart(5, '0'),
      rows: end - start,
      image: async (rows) => pick(part(image), rows),
      text: async (rows) => pick(part(text), rows),
    };
  });
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}
