/**
 * Pages of a flat column of a parquet, decompressed and not yet decoded: what a fast reader of plain values needs of
 * the format. Reads data pages of both versions, dictionaries, and nulls; values that are PLAIN or in a dictionary.
 * Throws a plain `Error` at everything else and at damage: who reads by pages has the reader in `parquet-read.ts` to
 * turn to, which knows more encodings and says what is wrong.
 *
 * The format: https://parquet.apache.org/docs/file-format/ and `parquet.thrift` (PageHeader) for the numbers.
 */
import type { FlatChunk, FlatColumn } from './parquet-flat.ts';
import { readThriftAt, type ThriftStruct } from './thrift.ts';

/** Gives `length` bytes, or throws. `codec` is parquet's name. */
export type Decompress = (codec: string, bytes: Uint8Array, length: number) => Uint8Array;

/** A data page: its rows, and where their values are. */
export interface Page {
  rows: number;
  /** A byte a row, 0 where it is null; `undefined` where none is. */
  present: Uint8Array | undefined;
  /** Rows that are not null. */
  count: number;
  /** Values in the encoding PLAIN: of the rows that are not null, in order, or of the dictionary. */
  values: Uint8Array;
  /** Of the dictionary: how many it has. */
  entries: number;
  /** Which of the dictionary's values each row that is not null has; each is less than `entries`. */
  indexes: Uint32Array | undefined;
}

const HEADER = { type: 1, size: 2, compressed: 3, data: 5, dictionary: 7, dataV2: 8 };
const TYPE = { data: 0, dictionary: 2, dataV2: 3 };
/** What RLE, which only flags are in, chooses from: false and true, a bit each. */
const flags = () => ({ values: Uint8Array.of(0b10), entries: 2 });
const PLAIN = 0;
const PLAIN_DICTIONARY = 2;
const RLE = 3;
const RLE_DICTIONARY = 8;
/** A page is about 1 MB; one that claims more than this is damage, and would be allocated before it is read. */
const MAX_PAGE_BYTES = 2 ** 30;

/** The data pages of a chunk, whose bytes are given, in order. They have as many rows as the chunk, or it throws. */
export function* readPages(
  bytes: Uint8Array,
  { optional }: Pick<FlatColumn, 'optional'>,
  chunk: Pick<FlatChunk, 'codec' | 'rows'>,
  decompress: Decompress,
): Generator<Page> {
  let dictionary: { values: Uint8Array; entries: number } | undefined;
  let rows = 0;
  for (let at = 0; at < bytes.length && rows < chunk.rows; ) {
    const { value: header, end } = readThriftAt(bytes, at);
    const size = within(intOf(header, HEADER.size), MAX_PAGE_BYTES);
    const body = bytes.subarray(end, end + within(intOf(header, HEADER.compressed), bytes.length - end));
    at = end + body.length;
    const unpack = (part: Uint8Array, length: number) => {
      const unpacked = chunk.codec === 'UNCOMPRESSED' ? part : decompress(chunk.codec, part, length);
      if (unpacked.length !== length) throw new Error('a page has another length than its header says');
      return unpacked;
    };
    const type = intOf(header, HEADER.type);
    if (type === TYPE.dictionary) {
      const about = structOf(header, HEADER.dictionary);
      const encoding = intOf(about, 2);
      if (encoding !== PLAIN && encoding !== PLAIN_DICTIONARY) throw unsupported(encoding);
      dictionary = { values: unpack(body, size), entries: within(intOf(about, 1), size) };
      continue;
    }
    // Index pages are allowed between others.
    if (type !== TYPE.data && type !== TYPE.dataV2) continue;
    const isV2 = type === TYPE.dataV2;
    const { levels, values, count, encoding } = isV2
      ? splitV2(structOf(header, HEADER.dataV2), body, size, unpack)
      : splitV1(structOf(header, HEADER.data), unpack(body, size), optional);
    if (count > chunk.rows - rows) throw new Error('more rows than the row group has');
    const present = optional ? presentOf(levels, count) : undefined;
    const filled = present === undefined ? count : sum(present);
    yield { rows: count, present, count: filled, ...valuesOf(values, encoding, filled, dictionary) };
    rows += count;
  }
  if (rows !== chunk.rows) throw new Error('fewer rows than the row group has');
}

interface Split {
  levels: Uint8Array;
  values: Uint8Array;
  count: number;
  encoding: number;
}

/** Page version 1: levels, if there are any, then values, all compressed together. */
function splitV1(about: ThriftStruct, bytes: Uint8Array, optional: boolean): Split {
  const [count, encoding] = [intOf(about, 1), intOf(about, 2)];
  if (!optional) return { levels: bytes.subarray(0, 0), values: bytes, count, encoding };
  if (intOf(about, 3) !== RLE) throw unsupported(intOf(about, 3));
  if (bytes.length < 4) throw new Error('a page ends early');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const end = 4 + within(length, bytes.length - 4);
  return { levels: bytes.subarray(4, end), values: bytes.subarray(end), count, encoding };
}

/** Page version 2: levels first and never compressed. */
function splitV2(
  about: ThriftStruct,
  body: Uint8Array,
  size: number,
  unpack: (part: Uint8Array, length: number) => Uint8Array,
): Split {
  const [count, encoding] = [intOf(about, 1), intOf(about, 4)];
  if (intOf(about, 6) !== 0) throw new Error('a flat column has no repetition levels');
  const end = within(intOf(about, 5), body.length);
  const rest = body.subarray(end);
  const isPacked = about.fields.get(7);
  const packed = isPacked?.kind !== 'bool' || isPacked.value;
  const values = packed && size > end ? unpack(rest, size - end) : rest;
  return { levels: body.subarray(0, end), values, count, encoding };
}

function valuesOf(
  values: Uint8Array,
  encoding: number,
  count: number,
  dictionary: { values: Uint8Array; entries: number } | undefined,
): Pick<Page, 'values' | 'entries' | 'indexes'> {
  if (encoding === PLAIN) return { values, entries: 0, indexes: undefined };
  const isDictionary = encoding === PLAIN_DICTIONARY || encoding === RLE_DICTIONARY;
  if (!isDictionary && encoding !== RLE) throw unsupported(encoding);
  const of = isDictionary ? dictionary : flags();
  if (of === undefined) throw new Error('a page of a dictionary that is not there');
  const indexes = new Uint32Array(count);
  // Of a dictionary's indexes, the first byte says how wide they are; flags are one bit, after their length.
  if (count > 0 && isDictionary) readHybrid(values.subarray(1), values[0], indexes);
  else if (count > 0) readHybrid(values.subarray(4), 1, indexes);
  for (let i = 0; i < count; i++) if (indexes[i] >= of.entries) throw new Error('no such entry');
  return { ...of, indexes };
}

function presentOf(levels: Uint8Array, rows: number): Uint8Array | undefined {
  const present = new Uint8Array(rows);
  readHybrid(levels, 1, present);
  return sum(present) === rows ? undefined : present;
}

/** Parquet's hybrid of runs and packed bits: fills `into` with numbers of `width` bits. */
function readHybrid(bytes: Uint8Array, width: number, into: Uint32Array | Uint8Array): void {
  if (width > 24) throw unsupported(width);
  const valueBytes = (width + 7) >>> 3;
  let at = 0;
  for (let done = 0; done < into.length; ) {
    let head = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= bytes.length || shift > 21) throw new Error('levels or indexes end early');
      head |= (bytes[at] & 0x7f) << shift;
      if (bytes[at++] < 0x80) break;
    }
    const isPacked = (head & 1) === 1;
    const count = Math.min(into.length - done, isPacked ? (head >>> 1) * 8 : head >>> 1);
    // The last run may be cut to the values that there are.
    const needed = isPacked ? (count * width + 7) >>> 3 : valueBytes;
    if (count === 0 || at + needed > bytes.length) throw new Error('levels or indexes end early');
    if (isPacked) {
      unpackBits(bytes, at, width, into, done, count);
      at += (head >>> 1) * width;
    } else {
      let value = 0;
      for (let i = 0; i < valueBytes; i++) value |= bytes[at + i] << (8 * i);
      into.fill(value, done, done + count);
      at += valueBytes;
    }
    done += count;
  }
}

function unpackBits(
  bytes: Uint8Array,
  start: number,
  width: number,
  into: Uint32Array | Uint8Array,
  first: number,
  count: number,
): void {
  const mask = 2 ** width - 1;
  let [at, bits, have] = [start, 0, 0];
  for (let i = first; i < first + count; i++) {
    // At most 23 bits are left over, so 31 are held.
    for (; have < width; have += 8) bits |= bytes[at++] << have;
    into[i] = bits & mask;
    bits >>>= width;
    have -= width;
  }
}

function sum(flags: Uint8Array): number {
  let set = 0;
  for (let i = 0; i < flags.length; i++) set += flags[i];
  return set;
}

function within(value: number, most: number): number {
  if (value >= 0 && value <= most) return value;
  throw new Error('a page is damaged');
}

function intOf({ fields }: ThriftStruct, field: number): number {
  const value = fields.get(field);
  if (value?.kind !== 'int') throw new Error('a page header is damaged');
  return Number(value.value);
}

function structOf({ fields }: ThriftStruct, field: number): ThriftStruct {
  const value = fields.get(field);
  if (value?.kind !== 'struct') throw new Error('a page header is damaged');
  return value;
}

const unsupported = (what: number) => new Error(`encoding ${what} is not read by pages`);
