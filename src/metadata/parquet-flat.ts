import { type FileMetaData, parquetSchema, type SchemaElement } from 'hyparquet';

/** A column at the top of a parquet that holds one plain value a row, or null: what `parquet-pages.ts` reads. */
export interface FlatColumn {
  type: 'BOOLEAN' | 'INT32' | 'INT64' | 'FLOAT' | 'DOUBLE' | 'BYTE_ARRAY' | 'FIXED_LEN_BYTE_ARRAY';
  /** What the schema says that the values mean. */
  meaning: 'nothing' | 'text' | 'integer' | 'uuid';
  /** Bytes of a FIXED_LEN_BYTE_ARRAY. */
  width: number;
  /** Holds nulls, perhaps. */
  optional: boolean;
  chunks: FlatChunk[];
}

/** The column's pages of one row group. */
export interface FlatChunk {
  /** Of the first row in the file. */
  start: number;
  rows: number;
  /** Parquet's name: `SNAPPY`, `ZSTD`, `UNCOMPRESSED`, … */
  codec: string;
  /** Bytes of the file. */
  at: number;
  length: number;
}

/** The column by this name, `undefined` where there is none, or one that is nested or of another meaning. */
export function flatColumn(metadata: FileMetaData, name: string): FlatColumn | undefined {
  const found = parquetSchema(metadata).children.filter(({ element }) => element.name === name);
  if (found.length !== 1 || found[0].children.length > 0) return undefined;
  const { element } = found[0];
  const meaning = meaningOf(element);
  const { type, repetition_type: repetition } = element;
  if (meaning === undefined || type === undefined || type === 'INT96' || repetition === 'REPEATED') {
    return undefined;
  }
  const chunks: FlatChunk[] = [];
  let start = 0;
  for (const group of metadata.row_groups) {
    const chunk = group.columns.find(({ meta_data: meta }) => meta?.path_in_schema[0] === name);
    const meta = chunk?.meta_data;
    if (meta === undefined || chunk?.file_path !== undefined || meta.type !== type) return undefined;
    const data = Number(meta.data_page_offset);
    const dictionary = Number(meta.dictionary_page_offset ?? 0n);
    const rows = Number(group.num_rows);
    chunks.push({
      ...{ start, rows, codec: meta.codec, length: Number(meta.total_compressed_size) },
      // Old writers put a zero for no dictionary.
      at: dictionary > 0 ? Math.min(dictionary, data) : data,
    });
    start += rows;
  }
  const width = type === 'FIXED_LEN_BYTE_ARRAY' ? (element.type_length ?? 0) : 0;
  return { type, meaning, width, optional: repetition !== 'REQUIRED', chunks };
}

function meaningOf(element: SchemaElement): FlatColumn['meaning'] | undefined {
  const { converted_type: converted, logical_type: logical } = element;
  if (logical?.type === 'STRING' || (converted === 'UTF8' && logical === undefined)) return 'text';
  if (logical?.type === 'UUID') return 'uuid';
  if (logical?.type === 'INTEGER') return logical.isSigned ? 'integer' : undefined;
  if (logical !== undefined) return undefined;
  if (converted === undefined) return 'nothing';
  return /^INT_\d+$/.test(converted) ? 'integer' : undefined;
}
