/**
 * Values of DuckDB's vectors as typed arrays, without an object a value. A chunk's memory is DuckDB's:
 * what is returned here is copied out of it.
 */

import type { DuckDBDataChunk } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';

/** A bit a row, least significant first, 0 where the value is NULL; `undefined` where none is. */
export function validity(chunk: DuckDBDataChunk, column: number): Uint8Array | undefined {
  const vector = duckdb.data_chunk_get_vector(chunk.chunk, column);
  // DuckDB gives no bits where every value is there, whatever its types say.
  const bits: Uint8Array | null | undefined = duckdb.vector_get_validity(
    vector,
    8 * Math.ceil(chunk.rowCount / 64),
  );
  return bits ?? undefined;
}

export function isNull(bits: Uint8Array | undefined, row: number): boolean {
  return bits !== undefined && ((bits[row >>> 3] >>> (row & 7)) & 1) === 0;
}

function bytesOf(chunk: DuckDBDataChunk, column: number, width: number): Uint8Array {
  return duckdb.vector_get_data(duckdb.data_chunk_get_vector(chunk.chunk, column), chunk.rowCount * width);
}

/** A 64-bit integer's low and high half, two entries a row. */
export function integerPairs(chunk: DuckDBDataChunk, column: number): Int32Array {
  const { buffer, byteOffset } = bytesOf(chunk, column, 8);
  return new Int32Array(buffer, byteOffset, 2 * chunk.rowCount);
}

/** 0 or 1 a row. */
export function booleans(chunk: DuckDBDataChunk, column: number): Uint8Array {
  return bytesOf(chunk, column, 1);
}
