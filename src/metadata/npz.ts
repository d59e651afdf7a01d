import { Zip, ZipPassThrough } from 'fflate';
import { AccountingError, MetadataError, OutputError } from '../errors.ts';
import type { Sink } from '../io/bytes.ts';
import { toFloat16 } from './float16.ts';
import { npyHeader } from './npy.ts';
import { type Float32Matrix, type MatrixHeader, matrixHeader, matrixValues } from './npy-matrix.ts';
import { entryStart, isStored, type RangedFile, readDirectory, readEntry, type ZipEntry } from './zip.ts';

export type { Float32Matrix, RangedFile };

/**
 * Embeddings as NumPy's `.npz`: a stored zip of float16 `.npy` members, `[rows, dim]`, row-major.
 * Reading takes ranges, so that one member of a large file can be had without the others.
 */

/** One array to be written. `values` are float32 and are rounded to float16. */
export interface NpzArray {
  name: string;
  dim: number;
  values: Float32Array;
}

/** One array that lies elsewhere, in pieces, as it is to be written. */
export interface StoredArray {
  name: string;
  rows: number;
  dim: number;
  /** Float16, little-endian, row-major: `rows * dim` values in all. */
  pieces(): AsyncIterable<Uint8Array>;
}

/** fflate writes 32-bit sizes and offsets only. */
const MAX_ZIP_BYTES = 0xffffffff;
/** The earliest date that zip knows; fixed so that two runs give the same bytes. */
const ZIP_DATE = () => new Date(1980, 0, 1);

/**
 * Writes the arrays in the order given. Throws `OutputError` where they do not fit in 4 GiB, `AccountingError` where a
 * stored one has not the bytes that its shape says.
 */
export async function writeNpz(sink: Sink, arrays: readonly (NpzArray | StoredArray)[]): Promise<void> {
  const total = arrays.reduce((sum, array) => sum + valuesOf(array) * 2 + 1024, 0);
  if (total > MAX_ZIP_BYTES) {
    throw new OutputError(`${total} bytes of embeddings do not fit in one npz`, {
      file: sink.name,
      hint: 'Use smaller shards, or leave the embeddings out (--no-embeddings)',
    });
  }
  const pending: Uint8Array[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    if (chunk.length > 0) pending.push(chunk);
  });
  const drain = async () => {
    for (const chunk of pending.splice(0)) await sink.write(chunk);
  };
  for (const array of arrays) {
    const { name, dim } = array;
    const member = new ZipPassThrough(`${name}.npy`);
    member.mtime = ZIP_DATE();
    member.os = 0;
    zip.add(member);
    member.push(npyHeader("'<f2'", [dim === 0 ? 0 : valuesOf(array) / dim, dim]));
    if ('values' in array) member.push(new Uint8Array(toFloat16(array.values).buffer), true);
    else {
      let bytes = 0;
      for await (const piece of array.pieces()) {
        bytes += piece.length;
        member.push(piece);
        await drain();
      }
      if (bytes !== 2 * valuesOf(array)) {
        throw new AccountingError(`${bytes} bytes of ${name} for ${array.rows} rows of ${dim} float16`, {
          file: sink.name,
        });
      }
      member.push(new Uint8Array(0), true);
    }
    await drain();
  }
  zip.end();
  await drain();
}

function valuesOf(array: NpzArray | StoredArray): number {
  return 'values' in array ? array.values.length : array.rows * array.dim;
}

/** Rows of one array: a run, or single rows in ascending order. */
export type RowRange = { start: number; end: number } | Uint32Array;

export interface Npz {
  names: string[];
  /** Rows, values a row and bytes a value of one array; its values are not read. Throws as `matrix` does. */
  shape(array: string): Promise<{ rows: number; dim: number; width: 2 | 4 | 8 }>;
  /**
   * One array as float32, or some of its rows. Rows of a stored array are read where they lie; a compressed one is
   * inflated whole each time. Throws `MetadataError` where there is none, or it is not a float matrix.
   */
  matrix(array: string, rows?: RowRange): Promise<Float32Matrix>;
}

/** The arrays of an npz by name, without `.npy`; nothing of their values is read yet. */
export async function openNpz(file: RangedFile, name: string): Promise<Npz> {
  const members = await readDirectory(file, name);
  const directory = new Map([...members].map(([member, entry]) => [member.replace(/\.npy$/, ''), entry]));
  const find = (array: string): ZipEntry => {
    const entry = directory.get(array);
    if (entry !== undefined) return entry;
    throw new MetadataError(`no array ${array}, only ${[...directory.keys()].join(', ') || 'none'}`, {
      file: name,
    });
  };
  const placed = new Map<string, Promise<Placed>>();
  const place = (array: string): Promise<Placed> => {
    const known = placed.get(array);
    if (known !== undefined) return known;
    const found = locate(file, find(array), name, array);
    placed.set(array, found);
    found.catch(() => placed.delete(array));
    return found;
  };
  return {
    names: [...directory.keys()],
    shape: async (array) => (await place(array)).header,
    async matrix(array, rows) {
      const { header, start } = await place(array);
      const label = `${name}:${array}`;
      if (start === undefined) {
        const bytes = await readEntry(file, find(array), name);
        return takeRows(header, rows, async (from, to) => bytes.subarray(from, to), label);
      }
      return takeRows(header, rows, (from, to) => file.slice(start + from, start + to), label);
    },
  };
}

/** An array whose header is read; `start` is where its member begins in the file, if it lies there as it is. */
interface Placed {
  header: MatrixHeader;
  start?: number;
}

/** Longer than any header of a matrix that NumPy writes, and than the longest that `parseNpyHeader` takes. */
const HEAD_BYTES = 10_100;

async function locate(file: RangedFile, entry: ZipEntry, name: string, array: string): Promise<Placed> {
  const label = `${name}:${array}`;
  if (!isStored(entry)) {
    const bytes = await readEntry(file, entry, name);
    return { header: matrixHeader(bytes, bytes.length, label) };
  }
  const start = await entryStart(file, entry, name);
  const head = await file.slice(start, start + Math.min(entry.size, HEAD_BYTES));
  return { header: matrixHeader(head, entry.size, label), start };
}

/** Single rows closer together than this are read in one piece. */
const GAP_BYTES = 64 * 1024;
/** Pieces under way at once. */
const PIECES = 16;
/** A piece is not made longer than this by joining rows. */
const PIECE_BYTES = 8 * 1024 * 1024;

async function takeRows(
  header: MatrixHeader,
  wanted: RowRange | undefined,
  read: (from: number, to: number) => Promise<Uint8Array>,
  label: string,
): Promise<Float32Matrix> {
  const { rows, dim, width, offset } = header;
  const stride = dim * width;
  if (!(wanted instanceof Uint32Array)) {
    const { start, end } = wanted ?? { start: 0, end: rows };
    check(start <= end && start >= 0 && end <= rows, label);
    const bytes = await read(offset + start * stride, offset + end * stride);
    return { rows: end - start, dim, data: matrixValues(bytes, width) };
  }
  const out = new Float32Array(wanted.length * dim);
  const readPiece = async ([first, last]: [number, number]): Promise<void> => {
    const from = wanted[first];
    const bytes = await read(offset + from * stride, offset + (wanted[last] + 1) * stride);
    for (let i = first; i <= last; i++) {
      const at = (wanted[i] - from) * stride;
      out.set(matrixValues(bytes.subarray(at, at + stride), width), i * dim);
    }
  };
  const pieces = joinRows(wanted, stride);
  check(wanted.length === 0 || wanted[wanted.length - 1] < rows, label);
  for (let i = 0; i < pieces.length; i += PIECES)
    await Promise.all(pieces.slice(i, i + PIECES).map(readPiece));
  return { rows: wanted.length, dim, data: out };
}

/** First and last index of the rows that are read together. */
function joinRows(wanted: Uint32Array, stride: number): [number, number][] {
  const pieces: [number, number][] = [];
  let first = 0;
  for (let i = 1; i <= wanted.length; i++) {
    const ends =
      i === wanted.length ||
      (wanted[i] - wanted[i - 1]) * stride > GAP_BYTES ||
      (wanted[i] - wanted[first] + 1) * stride > PIECE_BYTES;
    if (!ends) continue;
    pieces.push([first, i - 1]);
    first = i;
  }
  return pieces;
}

function check(fits: boolean, label: string): void {
  if (!fits) throw new MetadataError('rows were asked for that the array does not have', { file: label });
}
