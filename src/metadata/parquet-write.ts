import type { SchemaElement } from 'hyparquet';
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer';
import { AccountingError, OutputError } from '../errors.ts';
import { type Column, checkNames } from './columns.ts';

/**
 * One shard's parquet: snappy, row groups of 100,000, the types that pandas gives DataComp's published
 * metadata (strings, int64 sizes, float32 scores, list<list<double>> boxes). The bytes depend on the
 * columns alone.
 */

export const ROW_GROUP_ROWS = 100_000;
/** These are never null. A required float column is read back as one typed array, without a copy. */
const REQUIRED = new Set(['uid', 'key', 'text', 'original_width', 'original_height']);

/** The bytes of a parquet with these columns. All must have as many values; names must differ. */
export function encodeParquet(
  columns: readonly Column[],
  options: { rowGroupRows?: number } = {},
): Uint8Array<ArrayBuffer> {
  checkNames(columns);
  const rows = columns[0]?.values.length ?? 0;
  for (const { name, values } of columns) {
    if (values.length !== rows) {
      throw new AccountingError(`${values.length} values for ${rows} rows`, { column: name });
    }
  }
  const schema: SchemaElement[] = [{ name: 'schema', num_children: columns.length }];
  for (const column of columns) schema.push(...schemaOf(column));
  try {
    return new Uint8Array(
      parquetWriteBuffer({
        columnData: columns.map(dataOf),
        schema,
        codec: 'SNAPPY',
        rowGroupSize: options.rowGroupRows ?? ROW_GROUP_ROWS,
        createdBy: 'shardsieve',
      }),
    );
  } catch (cause) {
    throw new OutputError('the metadata cannot be written as parquet', { cause });
  }
}

function schemaOf(column: Column): SchemaElement[] {
  const { name, type } = column;
  const repetition_type = REQUIRED.has(name) || ArrayBuffer.isView(column.values) ? 'REQUIRED' : 'OPTIONAL';
  switch (type) {
    case 'string':
      return [
        {
          name,
          type: 'BYTE_ARRAY',
          repetition_type,
          converted_type: 'UTF8',
          logical_type: { type: 'STRING' },
        },
      ];
    case 'int':
      return [{ name, type: 'INT64', repetition_type }];
    case 'bool':
      return [{ name, type: 'BOOLEAN', repetition_type }];
    case 'float':
      return [{ name, type: 'FLOAT', repetition_type }];
    case 'double':
      return [{ name, type: 'DOUBLE', repetition_type }];
    case 'boxes':
      // The three-level lists of the parquet format, twice, with the names that pyarrow gives them.
      return [
        {
          name,
          repetition_type: 'OPTIONAL',
          num_children: 1,
          converted_type: 'LIST',
          logical_type: { type: 'LIST' },
        },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        {
          name: 'element',
          repetition_type: 'OPTIONAL',
          num_children: 1,
          converted_type: 'LIST',
          logical_type: { type: 'LIST' },
        },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', type: 'DOUBLE', repetition_type: 'OPTIONAL' },
      ];
  }
}

function dataOf(column: Column): ColumnSource {
  const { name } = column;
  if (column.type !== 'int') return { name, data: column.values };
  return { name, data: column.values.map((value) => (value === null ? null : BigInt(value))) };
}
