/**
 * What the embedding methods know of a pool: its files in pool order, each able to give its rows, whole or in part.
 * Results of the methods are typed arrays in pool row order: files in the order given, rows in file order.
 */
import { MetadataError } from '../errors.ts';
import type { Float32Matrix, RowRange } from '../metadata/npz.ts';

export type { Float32Matrix, RowRange };

/** The two kinds of rows that a metadata file has. */
export type Side = 'image' | 'text';

/** The embeddings of one metadata file under one slug. Each call reads; nothing is kept. */
export interface EmbeddingFile {
  /** For messages. */
  readonly name: string;
  /** The base name of the metadata file: what decides its random partitions, wherever the folder lies. */
  readonly shard: string;
  readonly rows: number;
  /** All rows, or those asked for, as float32 `[n, dim]`. Throws `MetadataError`. */
  image(rows?: RowRange): Promise<Float32Matrix>;
  text(rows?: RowRange): Promise<Float32Matrix>;
}

/** Which rows of the pool are meant; a `RowMask` is one. */
export interface RowSet {
  get(row: number): boolean;
}

/** One matrix after another: a target set that need not be in memory at once. Read once, in order. */
export type Matrices = Iterable<Float32Matrix> | AsyncIterable<Float32Matrix>;

export interface WorkOptions {
  /** Rows done and rows to do; what a row is depends on the method. */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Rows of all files together. */
export function poolRows(files: readonly EmbeddingFile[]): number {
  return files.reduce((sum, file) => sum + file.rows, 0);
}

/** Throws `MetadataError` where two matrices are not of the same space. */
export function sameDim(a: Float32Matrix, b: Float32Matrix, names: { a: string; b: string }): void {
  if (a.dim === b.dim) return;
  throw new MetadataError(`${names.a} has ${a.dim} values a row, ${names.b} has ${b.dim}`, {
    hint: 'Both must come from the same model (the same slug)',
  });
}

/** Rows `[start, end)` as a view. */
export function slice(matrix: Float32Matrix, start: number, end: number): Float32Matrix {
  const { dim, data } = matrix;
  return { rows: end - start, dim, data: data.subarray(start * dim, end * dim) };
}
