import { gunzipSync } from 'fflate';
import { decompress as zstdDecompress } from 'fzstd';
import {
  type AsyncBuffer,
  type Compressors,
  type DecodedArray,
  type FileMetaData,
  parquetMetadataAsync,
  parquetRead,
  parquetSchema,
  snappyUncompress,
} from 'hyparquet';
import { isShardsieveError, MetadataError, messageOf } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import type { Column } from './columns.ts';
import { type FlatColumn, flatColumn } from './parquet-flat.ts';

/**
 * Reads parquets, Shardsieve's own and anybody's: snappy, gzip, zstd or uncompressed; strings plain or
 * dictionary-encoded, as text or bytes. Columns are read a row group at a time, so that what is held is
 * one row group of the columns asked for. Whatever the file holds, errors are `MetadataError`.
 */

/** A page is about 1 MB; one that claims more than this is damage, and would be allocated before it is read. */
const MAX_PAGE_BYTES = 2 ** 30;
/** More rows than a metadata file can hold; refuses a damaged count before it is used as a length. */
const MAX_ROWS = 2 ** 31;

const sized = (length: number): number => {
  if (length > MAX_PAGE_BYTES) throw new Error(`a page of ${length} bytes`);
  return length;
};
const COMPRESSORS: Compressors = {
  SNAPPY: (bytes, length) => {
    const page = new Uint8Array(sized(length));
    snappyUncompress(bytes, page);
    return page;
  },
  GZIP: (bytes, length) => gunzipSync(bytes, { out: new Uint8Array(sized(length)) }),
  ZSTD: (bytes, length) => zstdDecompress(bytes, new Uint8Array(sized(length))),
};

/** A byte order mark at the start of a caption is part of it: Python counts and keeps it. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });
const toText = (bytes: Uint8Array | undefined) => bytes && UTF8.decode(bytes);

/** A column at the top of a parquet's schema. */
export interface ParquetColumn {
  name: string;
  /** Parquet's physical type: `FLOAT`, `DOUBLE`, `BYTE_ARRAY`, …; `GROUP` for lists and structs. */
  type: string;
  /** What the values mean, where the file says: `STRING`, `DECIMAL`, `DATE`, `TIMESTAMP`, `INTEGER`, … */
  logical?: string;
  /** Holds no nulls, by its schema. */
  required: boolean;
}

export interface ParquetFile {
  name: string;
  rows: number;
  columns: ParquetColumn[];
  /** Columns of one row group after another. Strings are given as bytes where `bytes` is set. */
  groups(columns: readonly string[], options?: { bytes?: boolean }): AsyncIterable<RowGroup>;
  /** Where a column's pages lie, for readers of pages; `undefined` where its values are no plain ones. */
  flat(column: string): FlatColumn | undefined;
}

export interface RowGroup {
  /** Index of the first row in the file. */
  start: number;
  rows: number;
  /** The values of one column, in pieces, in order. */
  chunks: Map<string, DecodedArray[]>;
}

/** Opens one parquet of a folder; only its footer is read. */
export async function openParquet(folder: Folder, name: string): Promise<ParquetFile> {
  const source = await folder.open(name);
  const file: AsyncBuffer = {
    byteLength: source.size,
    async slice(start, end = source.size) {
      // A copy by constructor: a Node Buffer's own slice() would share its pool's memory.
      return new Uint8Array(await source.slice(start, end)).buffer;
    },
  };
  const metadata = await named(name, () => parquetMetadataAsync(file, { geoparquet: false }));
  checkCounts(metadata, name);
  const schema = parquetSchema(metadata);
  return {
    name,
    rows: Number(metadata.num_rows),
    columns: schema.children.map(({ element }) => {
      const logical = element.logical_type?.type ?? element.converted_type;
      return {
        name: element.name,
        type: element.type ?? 'GROUP',
        ...(logical === undefined ? {} : { logical }),
        required: element.repetition_type === 'REQUIRED',
      };
    }),
    flat: (column) => flatColumn(metadata, column),
    async *groups(columns, options = {}) {
      for (const column of columns) {
        if (!schema.children.some(({ element }) => element.name === column)) {
          throw new MetadataError(`no column ${column}`, { file: name, column });
        }
      }
      let start = 0;
      for (const group of metadata.row_groups) {
        const rows = Number(group.num_rows);
        yield {
          start,
          rows,
          chunks: await readGroup(file, metadata, { start, rows, columns, name, ...options }),
        };
        start += rows;
      }
    },
  };
}

async function readGroup(
  file: AsyncBuffer,
  metadata: FileMetaData,
  want: { start: number; rows: number; columns: readonly string[]; name: string; bytes?: boolean },
): Promise<Map<string, DecodedArray[]>> {
  const chunks = new Map<string, DecodedArray[]>(want.columns.map((column) => [column, []]));
  if (want.rows === 0 || want.columns.length === 0) return chunks;
  const asIs = (bytes: Uint8Array) => bytes;
  await named(want.name, () =>
    parquetRead({
      file,
      metadata,
      columns: [...want.columns],
      rowStart: want.start,
      rowEnd: want.start + want.rows,
      compressors: COMPRESSORS,
      geoparquet: false,
      parsers: want.bytes ? { stringFromBytes: asIs, uuidFromBytes: asIs } : { stringFromBytes: toText },
      onChunk: ({ columnName, columnData }) => chunks.get(columnName)?.push(columnData),
    }),
  );
  for (const [column, pieces] of chunks) {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (length !== want.rows) {
      throw new MetadataError(`damaged parquet: ${length} values for ${want.rows} rows`, {
        file: want.name,
        column,
      });
    }
  }
  return chunks;
}

/** Reads every column of a parquet that Shardsieve wrote. Throws `MetadataError` at a type it does not write. */
export async function readColumns(folder: Folder, name: string): Promise<Column[]> {
  const file = await openParquet(folder, name);
  const names = file.columns.map((column) => column.name);
  const values = new Map<string, unknown[]>(names.map((column) => [column, []]));
  for await (const group of file.groups(names)) {
    for (const column of names) {
      const all = values.get(column)!;
      for (const piece of group.chunks.get(column)!) for (const value of piece) all.push(value ?? null);
    }
  }
  return file.columns.map((column) => toColumn(column, values.get(column.name)!, name));
}

/** The values were decoded by the column's type, which is what the casts rely on. */
function toColumn({ name, type, required }: ParquetColumn, values: unknown[], file: string): Column {
  switch (type) {
    case 'BYTE_ARRAY':
      return { name, type: 'string', values: values as (string | null)[] };
    case 'BOOLEAN':
      return { name, type: 'bool', values: values as (boolean | null)[] };
    case 'INT64':
      return { name, type: 'int', values: values.map((value) => (value === null ? null : Number(value))) };
    case 'FLOAT':
      return {
        name,
        type: 'float',
        values: required ? Float32Array.from(values as number[]) : (values as (number | null)[]),
      };
    case 'DOUBLE':
      return {
        name,
        type: 'double',
        values: required ? Float64Array.from(values as number[]) : (values as (number | null)[]),
      };
    case 'GROUP':
      return { name, type: 'boxes', values: values as (number[][] | null)[] };
    default:
      throw new MetadataError(`a column of type ${type}, which Shardsieve does not write`, {
        file,
        column: name,
      });
  }
}

function checkCounts(metadata: FileMetaData, name: string): void {
  const groups = metadata.row_groups ?? [];
  const total = groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
  const possible = groups.every(({ num_rows }) => num_rows >= 0n) && total < MAX_ROWS;
  if (!possible || total !== Number(metadata.num_rows)) {
    throw new MetadataError(
      `damaged parquet: its footer counts ${metadata.num_rows} rows, its row groups ${total}`,
      {
        file: name,
      },
    );
  }
}

async function named<T>(name: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (isShardsieveError(cause)) throw cause;
    throw new MetadataError(`not a readable parquet: ${messageOf(cause)}`, { file: name, cause });
  }
}
