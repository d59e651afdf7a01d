import { MetadataError } from '../errors.ts';
import { fromFloat16 } from './float16.ts';
import { parseNpyHeader } from './npy.ts';

/** Matrices of floats in `.npy`, widened or rounded to float32. */

export interface Float32Matrix {
  rows: number;
  dim: number;
  /** Row-major `[rows, dim]`. */
  data: Float32Array;
}

export interface MatrixHeader {
  rows: number;
  dim: number;
  /** Bytes of a value: float16, float32 or float64. */
  width: 2 | 4 | 8;
  /** Where the values begin, in bytes from the start of the array's file. */
  offset: number;
}

const WIDTHS: { [descr: string]: 2 | 4 | 8 | undefined } = { '<f2': 2, '<f4': 4, '<f8': 8 };

/** Reads a matrix's header in the first bytes of a file of `size`. Throws `MetadataError` at anything else. */
export function matrixHeader(bytes: Uint8Array, size: number, name: string): MatrixHeader {
  const header = parseNpyHeader(bytes, name);
  const [rows, dim] = header.shape;
  const width = WIDTHS[header.descr];
  if (width === undefined || header.shape.length !== 2 || (header.fortranOrder && rows > 1 && dim > 1)) {
    throw new MetadataError(
      `expected a row-major matrix of float16, float32 or float64, found ${header.descr} (${header.shape.join(', ')})`,
      { file: name },
    );
  }
  if (size - header.offset < rows * dim * width) {
    throw new MetadataError(`${rows} × ${dim} values do not fit in the file`, { file: name });
  }
  return { rows, dim, width, offset: header.offset };
}

/** Values as float32; the answer shares no memory with `bytes`. */
export function matrixValues(bytes: Uint8Array, width: 2 | 4 | 8): Float32Array {
  const values = new Uint8Array(bytes).buffer;
  if (width === 2) return fromFloat16(new Uint16Array(values));
  return width === 4 ? new Float32Array(values) : Float32Array.from(new Float64Array(values));
}

/** A whole `.npy` file as a matrix. Throws `MetadataError`. */
export function parseNpyMatrix(bytes: Uint8Array, name: string): Float32Matrix {
  const { rows, dim, width, offset } = matrixHeader(bytes, bytes.length, name);
  return { rows, dim, data: matrixValues(bytes.subarray(offset, offset + rows * dim * width), width) };
}
