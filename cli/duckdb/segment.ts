/** One query over a few parquets of one shape, its chunks put together to batches. */
import { DuckDBBitValue, type DuckDBConnection, type DuckDBDataChunk } from '@duckdb/node-api';
import type { RowMask } from '../../src/select/mask.ts';
import { type Batch, type ColumnRequest, makeBatch, type PoolFile } from '../../src/select/scan.ts';
import { quoteName, quoteText } from './database.ts';
import { PLACE, type Shape } from './schema.ts';
import { chunks } from './stream.ts';
import {
  booleans,
  doubles,
  floats,
  hexUids,
  integerPairs,
  isNull,
  type Known,
  texts,
  uuids,
  validity,
} from './vectors.ts';

/** Rows of a batch: enough that a batch costs little, few enough that some of them fit anywhere. */
const BATCH_ROWS = 16 * 2048;

export interface Segment {
  /** Files that follow one another in the pool. */
  files: { file: PoolFile; path: string }[];
  shape: Shape;
}

const isString = ({ as }: ColumnRequest) => as === 'text' || as === 'uid';

const INTEGER = /^U?(TINY|SMALL|BIG)?INT(EGER)?$/;

/** The column as SQL gives it to us, or `undefined` where this reader does not give the same as the neutral one. */
export function expressionOf({ name, as }: ColumnRequest, { columns }: Shape): string | undefined {
  const type = columns.find((column) => column.name === name)?.type;
  const column = quoteName(name);
  if (type === undefined) return undefined;
  if (as === 'number') {
    if (type === 'FLOAT' || type === 'DOUBLE') return column;
    return INTEGER.test(type) ? `CAST(${column} AS DOUBLE)` : undefined;
  }
  if (as === 'uid') {
    return type === 'VARCHAR' || type === 'UUID' ? column : undefined;
  }
  return type === (as === 'text' ? 'VARCHAR' : 'BOOLEAN') ? column : undefined;
}

/** Batches of a segment, in order. Throws what DuckDB throws, and a plain `Error` at a uid that is none. */
export async function* readSegment(
  connection: DuckDBConnection,
  { files, shape }: Segment,
  requests: readonly ColumnRequest[],
  { only, signal }: { only?: RowMask; signal?: AbortSignal },
): AsyncGenerator<Batch> {
  const first = files[0].file.start;
  const mask = only && maskOf(only, first, files.at(-1)!.file.start + files.at(-1)!.file.rows);
  const starts = files.map(({ file }) => file.start - first);
  const wanted = `get_bit($1, CAST(list_extract([${starts.join()}], CAST(file_index AS BIGINT) + 1) + file_row_number AS INTEGER)) = 1`;
  const items = requests.map((request) => {
    const expression = expressionOf(request, shape)!;
    // Numbers and flags cost less than the question.
    return mask && isString(request) ? `CASE WHEN ${wanted} THEN ${expression} END` : expression;
  });
  const paths = files.map(({ path }) => quoteText(path));
  const sql = `SELECT ${PLACE}${items.map((item) => `, ${item}`).join('')} FROM read_parquet([${paths.join()}])`;
  const uses = mask !== undefined && requests.some(isString);
  const known: Known = new Map();
  let at = { file: 0, row: 0 };
  let filling: Filling | undefined;
  for await (const chunk of chunks(connection, sql, uses ? [mask] : [], signal)) {
    while (at.row === files[at.file]?.file.rows) at = { file: at.file + 1, row: 0 };
    checkPlace(chunk, at);
    const { file } = files[at.file];
    if (filling && !filling.hasRoom(chunk.rowCount)) {
      yield filling.batch();
      filling = undefined;
    }
    filling ??= new Filling(file, at.row, requests, shape);
    filling.add(chunk, known, only);
    at.row += chunk.rowCount;
    if (at.row === file.rows) {
      yield filling.batch();
      filling = undefined;
    }
  }
  const end = files.at(-1)!.file;
  while (at.file < files.length && at.row === files[at.file].file.rows) at = { file: at.file + 1, row: 0 };
  if (at.file < files.length) throw new Error(`${end.name}: fewer rows than its footer says`);
}

/** DuckDB keeps the order of files and rows, and a chunk to one file; what depends on it is checked. */
function checkPlace(chunk: DuckDBDataChunk, at: { file: number; row: number }): void {
  const places = integerPairs(chunk, 0);
  const last = chunk.rowCount - 1;
  const isNext = places[0] === at.row && places[1] === at.file;
  if (!isNext || places[2 * last] !== at.row + last || places[2 * last + 1] !== at.file) {
    throw new Error('rows came out of their order');
  }
}

/** A batch while its chunks come in. */
class Filling {
  readonly #file: PoolFile;
  readonly #row: number;
  readonly #rows: number;
  readonly #requests: readonly ColumnRequest[];
  readonly #values = new Map<string, Values>();
  readonly #writers: ((chunk: DuckDBDataChunk, column: number, at: number, known: Known) => void)[] = [];
  readonly #isUuid: boolean;
  #used = 0;
  #only: RowMask | undefined;

  constructor(file: PoolFile, row: number, requests: readonly ColumnRequest[], shape: Shape) {
    this.#file = file;
    this.#row = row;
    this.#rows = Math.min(BATCH_ROWS, file.rows - row);
    this.#requests = requests;
    this.#isUuid = shape.columns.some(
      ({ name, type }) => type === 'UUID' && requests.some((one) => one.as === 'uid' && one.name === name),
    );
    for (const request of requests) this.#writers.push(this.#writer(request, shape));
  }

  hasRoom(rows: number): boolean {
    return this.#used + rows <= this.#rows;
  }

  add(chunk: DuckDBDataChunk, known: Known, only: RowMask | undefined): void {
    this.#only = only;
    for (let i = 0; i < this.#requests.length; i++) this.#writers[i](chunk, i + 1, this.#used, known);
    this.#used += chunk.rowCount;
  }

  batch(): Batch {
    if (this.#used < this.#rows) {
      for (const [key, values] of this.#values)
        this.#values.set(key, cutTo(values, key === 'uid' ? 4 * this.#used : this.#used));
    }
    return makeBatch(this.#file, this.#file.start + this.#row, this.#used, this.#values);
  }

  #writer({ name, as }: ColumnRequest, shape: Shape) {
    const rows = this.#rows;
    switch (as) {
      case 'number': {
        const isFloat = shape.columns.find((column) => column.name === name)!.type === 'FLOAT';
        const into = isFloat ? new Float32Array(rows) : new Float64Array(rows);
        this.#values.set(`number:${name}`, into);
        return (chunk: DuckDBDataChunk, column: number, at: number) => {
          into.set(isFloat ? floats(chunk, column) : doubles(chunk, column), at);
          const bits = validity(chunk, column);
          if (bits === undefined) return;
          for (let i = 0; i < chunk.rowCount; i++) if (isNull(bits, i)) into[at + i] = Number.NaN;
        };
      }
      case 'text': {
        const into = new Array<string | null>(rows);
        this.#values.set(`text:${name}`, into);
        return (chunk: DuckDBDataChunk, column: number, at: number, known: Known) =>
          texts(chunk, column, into, at, known);
      }
      case 'flag': {
        const into = new Array<boolean | null>(rows);
        this.#values.set(`flag:${name}`, into);
        return (chunk: DuckDBDataChunk, column: number, at: number) => {
          const bytes = booleans(chunk, column);
          const bits = validity(chunk, column);
          for (let i = 0; i < chunk.rowCount; i++) into[at + i] = isNull(bits, i) ? null : bytes[i] !== 0;
        };
      }
      case 'uid': {
        const into = new Uint32Array(4 * rows);
        this.#values.set('uid', into);
        return (chunk: DuckDBDataChunk, column: number, at: number) => this.#uids(chunk, column, into, at);
      }
    }
  }

  #uids(chunk: DuckDBDataChunk, column: number, into: Uint32Array, at: number): void {
    const place = this.#file.start + this.#row + at;
    const only = this.#only;
    const isWanted = only === undefined ? () => true : (row: number) => only.get(place + row);
    const bad = this.#isUuid
      ? uuids(chunk, column, into, at, isWanted)
      : hexUids(chunk, column, into, at, isWanted);
    if (bad >= 0) throw new Error(`row ${this.#row + at + bad} has no uid`);
  }
}

type Values = Float32Array | Float64Array | Uint32Array | (string | null)[] | (boolean | null)[];

function cutTo(values: Values, length: number): Values {
  return Array.isArray(values) ? values.slice(0, length) : values.subarray(0, length);
}

/** Rows `[start, end)` of a mask as DuckDB's BIT; `undefined` where all are in it. */
function maskOf(mask: RowMask, start: number, end: number): DuckDBBitValue | undefined {
  const bytes = Math.ceil((end - start) / 8);
  // The first byte says how many bits of the second are padding; here the padding is behind instead.
  const data = new Uint8Array(1 + bytes);
  let set = 0;
  for (let row = start; row < end; row++) {
    if (!mask.get(row)) continue;
    data[1 + ((row - start) >>> 3)] |= 0x80 >>> ((row - start) & 7);
    set++;
  }
  return set === end - start ? undefined : new DuckDBBitValue(data);
}
