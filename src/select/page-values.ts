/**
 * Values of a column's pages, some rows after another, in the form that `scan.ts` gives them: numbers, uids, texts and
 * flags, without an object a value on the way. Values of rows that are not wanted are not made.
 */
import type { FlatColumn } from '../metadata/parquet-flat.ts';
import type { Page } from '../metadata/parquet-pages.ts';
import { parseUidAt } from '../uids/uids.ts';
import type { ColumnKind, Numbers } from './scan.ts';

export type Values = Numbers | Uint32Array<ArrayBuffer> | (string | null)[] | (boolean | null)[];

/** Whether a row, counted from the first that is asked for, matters. */
export type Wanted = (row: number) => boolean;

/** ASCII bytes as a string; what it makes of others does not matter. */
export type Ascii = (bytes: Uint8Array) => string;

/** The next rows of a column, in a new array. Throws a plain `Error` at damage, and at a row that has no uid. */
export type Reader = (rows: number, isWanted: Wanted) => Values;

/** A reader over pages, `undefined` where such values cannot be had of such a column. */
export function readerOf(
  pages: Iterator<Page>,
  column: FlatColumn,
  as: ColumnKind,
  ascii: Ascii,
): Reader | undefined {
  const cursor = new Cursor(pages);
  const { type, meaning } = column;
  const isBytes = type === 'BYTE_ARRAY' || type === 'FIXED_LEN_BYTE_ARRAY';
  if (as === 'number') return isBytes || type === 'BOOLEAN' ? undefined : numbers(cursor, type);
  if (as === 'uid') return isBytes ? uids(cursor, column.width) : undefined;
  if (as === 'text') {
    return type === 'BYTE_ARRAY' && meaning === 'text' ? texts(cursor, ascii) : undefined;
  }
  return type === 'BOOLEAN' ? flags(cursor) : undefined;
}

/** Rows `[row, row + rows)` of a page, which go to places from `at` on; `first` is the first's value. */
interface Run {
  page: Page;
  row: number;
  rows: number;
  first: number;
  at: number;
}

class Cursor {
  readonly #pages: Iterator<Page>;
  #page: Page | undefined;
  #row = 0;
  #value = 0;

  constructor(pages: Iterator<Page>) {
    this.#pages = pages;
  }

  *runs(rows: number): Generator<Run> {
    for (let at = 0; at < rows; ) {
      while (this.#page === undefined || this.#row === this.#page.rows) {
        const next = this.#pages.next();
        if (next.done) throw new Error('fewer rows than the row group has');
        this.#page = next.value;
        this.#row = 0;
        this.#value = 0;
      }
      const page = this.#page;
      const run = { page, row: this.#row, rows: Math.min(rows - at, page.rows - this.#row), at };
      yield { ...run, first: this.#value };
      this.#row += run.rows;
      this.#value += page.present === undefined ? run.rows : filled(page.present, run.row, run.rows);
      at += run.rows;
    }
  }
}

function filled(present: Uint8Array, row: number, rows: number): number {
  let count = 0;
  for (let i = row; i < row + rows; i++) count += present[i];
  return count;
}

/** What `make` makes of a page's values, once for each dictionary. */
function perValues<T>(make: (page: Page) => T): (page: Page) => T {
  let last: { values: Uint8Array; made: T } | undefined;
  return (page) => {
    if (last?.values !== page.values) last = { values: page.values, made: make(page) };
    return last.made;
  };
}

const entriesOf = ({ indexes, entries, count }: Page) => (indexes === undefined ? count : entries);

function numbers(cursor: Cursor, type: FlatColumn['type']): Reader {
  const isFloat = type === 'FLOAT' || type === 'DOUBLE';
  const decoded = perValues((page) => plainNumbers(page.values, entriesOf(page), type));
  return (rows) => {
    const into = new (type === 'FLOAT' ? Float32Array : Float64Array)(rows);
    const width = into.BYTES_PER_ELEMENT;
    for (const run of cursor.runs(rows)) {
      const { present, indexes, values: bytes } = run.page;
      if (isFloat && present === undefined && indexes === undefined) {
        // They lie in the page as they do in memory, but not at places where an array of them may begin.
        const part = bytes.subarray(run.first * width, (run.first + run.rows) * width);
        if (part.length < run.rows * width) throw new Error('a page ends early');
        new Uint8Array(into.buffer, run.at * width).set(part);
        continue;
      }
      const values = decoded(run.page);
      let value = run.first;
      for (let i = 0; i < run.rows; i++) {
        const isThere = present === undefined || present[run.row + i] === 1;
        into[run.at + i] = isThere ? values[indexes === undefined ? value : indexes[value]] : Number.NaN;
        if (isThere) value++;
      }
    }
    return into;
  };
}

function plainNumbers(bytes: Uint8Array, count: number, type: FlatColumn['type']): Numbers {
  const width = type === 'DOUBLE' || type === 'INT64' ? 8 : 4;
  if (bytes.length < count * width) throw new Error('a page ends early');
  // Aligned, and the only one who has it.
  const own = new Uint8Array(bytes.subarray(0, count * width)).buffer;
  if (type === 'DOUBLE') return new Float64Array(own);
  if (type === 'FLOAT') return new Float32Array(own);
  const words = new Int32Array(own);
  if (type === 'INT32') return Float64Array.from(words);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = words[2 * i + 1] * 2 ** 32 + (words[2 * i] >>> 0);
  return values;
}

/** Where byte strings lie in a page's values: `[starts[i], starts[i + 1] − gap)`. */
interface Strings {
  bytes: Uint8Array;
  starts: Uint32Array;
  gap: number;
}

/** `width` is that of all, or 0 where each has its length before it. */
function strings(page: Page, width: number): Strings {
  const { values: bytes } = page;
  const count = entriesOf(page);
  const starts = new Uint32Array(count + 1);
  if (width > 0) {
    for (let i = 0; i <= count; i++) starts[i] = i * width;
    if (bytes.length < count * width) throw new Error('a page ends early');
    return { bytes, starts, gap: 0 };
  }
  let at = 4;
  for (let i = 0; i < count; i++) {
    starts[i] = at;
    const head = at - 4;
    const length = bytes[head] | (bytes[head + 1] << 8) | (bytes[head + 2] << 16) | (bytes[head + 3] << 24);
    if (length < 0 || at + length > bytes.length) throw new Error('a page ends early');
    at += length + 4;
  }
  starts[count] = at;
  return { bytes, starts, gap: 4 };
}

function uids(cursor: Cursor, width: number): Reader {
  const located = perValues((page) => strings(page, width));
  return (rows, isWanted) => {
    const words = new Uint32Array(4 * rows);
    for (const run of cursor.runs(rows)) {
      const { bytes, starts, gap } = located(run.page);
      const { present, indexes } = run.page;
      let value = run.first;
      for (let i = 0; i < run.rows; i++) {
        const isThere = present === undefined || present[run.row + i] === 1;
        if (isWanted(run.at + i)) {
          if (!isThere) throw new Error('a row has no uid');
          const which = indexes === undefined ? value : indexes[value];
          uid(bytes, starts[which], starts[which + 1] - gap, words, run.at + i);
        }
        if (isThere) value++;
      }
    }
    return words;
  };
}

/** 32 hex digits, or 16 raw bytes, most significant first. */
function uid(bytes: Uint8Array, start: number, end: number, words: Uint32Array, at: number): void {
  if (end - start === 32 && parseUidAt(bytes, start, words, at)) return;
  if (end - start !== 16) throw new Error('a row has no uid');
  for (let word = 0; word < 4; word++) {
    const i = start + 4 * word;
    words[4 * at + (word ^ 1)] = (bytes[i] << 24) | (bytes[i + 1] << 16) | (bytes[i + 2] << 8) | bytes[i + 3];
  }
}

/** A byte order mark at the start of a caption is part of it. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

function texts(cursor: Cursor, ascii: Ascii): Reader {
  // ASCII ones are cut out of one long string; those of a dictionary are made once.
  const located = perValues((page) => {
    const lying = strings(page, 0);
    const whole = ascii(page.values);
    const known = page.indexes === undefined ? undefined : new Array<string | undefined>(page.entries);
    return { ...lying, whole, known };
  });
  return (rows, isWanted) => {
    const into = new Array<string | null>(rows).fill(null);
    for (const run of cursor.runs(rows)) {
      const { bytes, starts, gap, whole, known } = located(run.page);
      const { present, indexes } = run.page;
      for (let i = 0, next = run.first; i < run.rows; i++) {
        if (present !== undefined && present[run.row + i] === 0) continue;
        const value = indexes === undefined ? next : indexes[next];
        next++;
        if (!isWanted(run.at + i)) continue;
        let text = known?.[value];
        if (text === undefined) {
          const start = starts[value];
          const end = starts[value + 1] - gap;
          text = isAscii(bytes, start, end)
            ? whole.substring(start, end)
            : UTF8.decode(bytes.subarray(start, end));
          if (known !== undefined) known[value] = text;
        }
        into[run.at + i] = text;
      }
    }
    return into;
  };
}

function isAscii(bytes: Uint8Array, start: number, end: number): boolean {
  let all = 0;
  for (let i = start; i < end; i++) all |= bytes[i];
  return all < 0x80;
}

function flags(cursor: Cursor): Reader {
  return (rows) => {
    const into = new Array<boolean | null>(rows).fill(null);
    for (const run of cursor.runs(rows)) {
      const { values, present, indexes } = run.page;
      if (values.length * 8 < entriesOf(run.page)) throw new Error('a page ends early');
      for (let i = 0, next = run.first; i < run.rows; i++) {
        if (present !== undefined && present[run.row + i] === 0) continue;
        const value = indexes === undefined ? next : indexes[next];
        into[run.at + i] = ((values[value >>> 3] >>> (value & 7)) & 1) === 1;
        next++;
      }
    }
    return into;
  };
}
