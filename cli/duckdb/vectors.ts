/**
 * Values of DuckDB's vectors as typed arrays and strings, without an object a value. A chunk's memory is DuckDB's:
 * what is returned here is copied out of it.
 */

import type { DuckDBDataChunk } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { parseUidAt } from '../../src/select/uids.ts';

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

export function doubles(chunk: DuckDBDataChunk, column: number): Float64Array {
  const { buffer, byteOffset } = bytesOf(chunk, column, 8);
  return new Float64Array(buffer, byteOffset, chunk.rowCount);
}

export function floats(chunk: DuckDBDataChunk, column: number): Float32Array {
  const { buffer, byteOffset } = bytesOf(chunk, column, 4);
  return new Float32Array(buffer, byteOffset, chunk.rowCount);
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

/** A string of DuckDB's is 16 bytes: its length, and either its up to 12 bytes or 4 of them and an address. */
const INLINE = 12;
/** Strings that lie beside one another, but for padding up to this, are fetched in one piece. */
const PADDING = 8;

/** A VARCHAR column of a chunk. */
class Strings {
  readonly rows: number;
  readonly #data: Uint8Array;
  readonly #words: Uint32Array;
  readonly #bits: Uint8Array | undefined;

  constructor(chunk: DuckDBDataChunk, column: number) {
    this.rows = chunk.rowCount;
    this.#data = bytesOf(chunk, column, 16);
    this.#words = new Uint32Array(this.#data.buffer, this.#data.byteOffset, 4 * this.rows);
    this.#bits = validity(chunk, column);
  }

  isNull(row: number): boolean {
    return isNull(this.#bits, row);
  }

  /** In bytes. */
  length(row: number): number {
    return this.#words[4 * row];
  }

  /** Four bytes of a short string as one number, zeros behind. */
  head(row: number): number {
    return this.#words[4 * row + 1];
  }

  /** The bytes of a string of up to 12. */
  short(row: number): Buffer {
    return Buffer.from(this.#data.buffer, this.#data.byteOffset + 16 * row + 4, this.length(row));
  }

  isLong(row: number): boolean {
    return this.length(row) > INLINE && !isNull(this.#bits, row);
  }

  address(row: number): number {
    return this.#words[4 * row + 2] + this.#words[4 * row + 3] * 2 ** 32;
  }

  /**
   * The bytes of the long string of this row and of those after it, as long as they lie beside one another in memory,
   * and the row after the last. DuckDB lays a chunk's long strings out in order, so there are few runs in a chunk;
   * asking for each string by itself takes eight times as long.
   */
  run(row: number): { bytes: Buffer; start: number; last: number } {
    const start = this.address(row);
    let end = start + this.length(row);
    let last = row + 1;
    for (; last < this.rows; last++) {
      if (!this.isLong(last)) continue;
      const gap = this.address(last) - end;
      if (gap < 0 || gap > PADDING) break;
      end += gap + this.length(last);
    }
    const at = this.#data.byteOffset + 16 * row + 8;
    // The binding's types ask for an ArrayBuffer, which every vector's is.
    const bytes = duckdb.get_data_from_pointer(this.#data.buffer as ArrayBuffer, at, end - start);
    return { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), start, last };
  }
}

/** Strings that occur again and again (languages, tags) are made once. */
export type Known = Map<number, string>;

/** Texts of a VARCHAR column into `into[at …]`. ASCII ones are cut out of one long string. */
export function texts(
  chunk: DuckDBDataChunk,
  column: number,
  into: (string | null)[],
  at: number,
  known: Known,
): void {
  const strings = new Strings(chunk, column);
  for (let row = 0; row < strings.rows; ) {
    if (!strings.isLong(row)) {
      into[at + row] = strings.isNull(row) ? null : shortText(strings, row, known);
      row++;
      continue;
    }
    const { bytes, start, last } = strings.run(row);
    const ascii = bytes.toString('latin1');
    for (; row < last; row++) {
      if (!strings.isLong(row)) {
        into[at + row] = strings.isNull(row) ? null : shortText(strings, row, known);
        continue;
      }
      const from = strings.address(row) - start;
      const to = from + strings.length(row);
      into[at + row] = isAscii(bytes, from, to)
        ? ascii.substring(from, to)
        : bytes.toString('utf8', from, to);
    }
  }
}

function shortText(strings: Strings, row: number, known: Known): string {
  const length = strings.length(row);
  if (length > 4) return strings.short(row).toString();
  const key = strings.head(row) * 8 + length;
  let text = known.get(key);
  if (text === undefined) {
    text = strings.short(row).toString();
    known.set(key, text);
  }
  return text;
}

function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  let all = 0;
  for (let i = from; i < to; i++) all |= bytes[i];
  return all < 0x80;
}

/**
 * Uids of a VARCHAR column into `into`, from place `at` on, four words each as in `uids.ts`; those that are not wanted
 * are left out. Returns the first row that is wanted and has none, or −1.
 */
export function hexUids(
  chunk: DuckDBDataChunk,
  column: number,
  into: Uint32Array,
  at: number,
  isWanted: (row: number) => boolean,
): number {
  const strings = new Strings(chunk, column);
  for (let row = 0; row < strings.rows; ) {
    if (!strings.isLong(row)) {
      if (isWanted(row)) return row;
      row++;
      continue;
    }
    const { bytes, start, last } = strings.run(row);
    for (; row < last; row++) {
      if (!isWanted(row)) continue;
      if (!strings.isLong(row) || strings.length(row) !== 32) return row;
      if (!parseUidAt(bytes, strings.address(row) - start, into, at + row)) return row;
    }
  }
  return -1;
}

/** `hexUids` for a UUID column: a signed 128-bit integer, the low half first, with the highest bit turned round. */
export function uuids(
  chunk: DuckDBDataChunk,
  column: number,
  into: Uint32Array,
  at: number,
  isWanted: (row: number) => boolean,
): number {
  const { buffer, byteOffset } = bytesOf(chunk, column, 16);
  const words = new Uint32Array(buffer, byteOffset, 4 * chunk.rowCount);
  const bits = validity(chunk, column);
  for (let row = 0; row < chunk.rowCount; row++) {
    if (!isWanted(row)) continue;
    if (isNull(bits, row)) return row;
    const to = 4 * (at + row);
    into[to] = words[4 * row + 2];
    into[to + 1] = words[4 * row + 3] ^ 0x80000000;
    into[to + 2] = words[4 * row];
    into[to + 3] = words[4 * row + 1];
  }
  return -1;
}
