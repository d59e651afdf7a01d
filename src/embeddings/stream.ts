/**
 * A pool's rows in pieces: what a method holds of the pool at any time is one piece, and the next that is being read.
 */
import { mapAhead } from '../score/ahead.ts';
import { checkpoint, TILE } from './matmul.ts';
import { type EmbeddingFile, type Float32Matrix, type RowSet, type Side, sameDim } from './types.ts';

/** Rows that were asked for, in ascending order, and their places in the pool. */
export interface Piece {
  /** Rows of the pool. */
  rows: Uint32Array;
  matrix: Float32Matrix;
}

/** The rows of the set, ascending; `undefined` for all where no set is given. */
export function listRows(total: number, only: RowSet | undefined): Uint32Array | undefined {
  if (only === undefined) return undefined;
  let count = 0;
  for (let row = 0; row < total; row++) if (only.get(row)) count++;
  const rows = new Uint32Array(count);
  for (let row = 0, at = 0; row < total; row++) if (only.get(row)) rows[at++] = row;
  return rows;
}

/** Rows of the pool, ascending, whichever files they lie in. */
export async function gather(
  files: readonly EmbeddingFile[],
  side: Side,
  rows: Uint32Array,
): Promise<Float32Matrix> {
  const parts: Float32Matrix[] = [];
  let start = 0;
  let at = 0;
  for (const file of files) {
    const first = at;
    while (at < rows.length && rows[at] < start + file.rows) at++;
    if (at > first) parts.push(await file[side](localRows(rows, first, at, start)));
    start += file.rows;
  }
  return join(parts);
}

/** One matrix of several, in order. Throws `MetadataError` where they are not of one space. */
export function join(parts: readonly Float32Matrix[]): Float32Matrix {
  if (parts.length === 1) return parts[0];
  const dim = parts[0]?.dim ?? 0;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const data = new Float32Array(rows * dim);
  let filled = 0;
  for (const part of parts) {
    sameDim(part, { ...part, dim }, { a: 'one file', b: 'another' });
    data.set(part.data, filled);
    filled += part.data.length;
  }
  return { rows, dim, data };
}

/** All rows, or those listed, in pieces of `TILE` whatever the files' sizes; only the last is shorter. */
export async function* pieces(
  files: readonly EmbeddingFile[],
  side: Side,
  selected?: Uint32Array,
  signal?: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  const total = selected?.length ?? files.reduce((sum, file) => sum + file.rows, 0);
  const starts = async function* () {
    for (let start = 0; start < total; start += TILE) yield start;
  };
  const read = async (start: number): Promise<Piece> => {
    const rows = pieceRows(total, start, selected);
    return { rows, matrix: await gather(files, side, rows) };
  };
  for await (const piece of mapAhead(starts(), 2, read)) {
    checkpoint(signal);
    yield piece;
  }
}

/** The rows of the piece that begins at place `start` of the list. */
export function pieceRows(total: number, start: number, selected?: Uint32Array): Uint32Array {
  const end = Math.min(start + TILE, total);
  return selected?.subarray(start, end) ?? Uint32Array.from({ length: end - start }, (_, i) => start + i);
}

/** A run where the rows are one, so that it is read in one go. */
function localRows(rows: Uint32Array, first: number, end: number, start: number) {
  if (rows[end - 1] - rows[first] === end - 1 - first) {
    return { start: rows[first] - start, end: rows[first] - start + (end - first) };
  }
  return rows.subarray(first, end).map((row) => row - start);
}

/** Rows of a matrix that can be judged: every value finite, and not all of them zero. */
export function soundRows({ rows, dim, data }: Float32Matrix): Uint8Array {
  const sound = new Uint8Array(rows);
  for (let i = 0; i < rows; i++) {
    let squares = 0;
    for (let at = i * dim; at < (i + 1) * dim; at++) squares += data[at] * data[at];
    sound[i] = Number.isFinite(squares) && squares > 0 ? 1 : 0;
  }
  return sound;
}

/** Scales each row to unit length in place; a zero row stays zero. Norms are taken in float64. */
export function normalise({ rows, dim, data }: Float32Matrix): void {
  for (let i = 0; i < rows; i++) {
    let squares = 0;
    for (let at = i * dim; at < (i + 1) * dim; at++) squares += data[at] * data[at];
    const norm = Math.sqrt(squares) || 1;
    for (let at = i * dim; at < (i + 1) * dim; at++) data[at] /= norm;
  }
}
