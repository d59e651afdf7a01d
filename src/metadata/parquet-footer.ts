/** The parts of a parquet's footer that adding columns touches; `parquet.thrift` of the format has the numbers. */
import { MetadataError, messageOf } from '../errors.ts';
import { i32, i64, readThrift, type ThriftStruct, type ThriftValue, writeThrift } from './thrift.ts';

const FILE = { schema: 2, rowGroups: 4, keyValues: 5, columnOrders: 7, encryption: 8, signing: 9 };
const ELEMENT = { name: 4, children: 5 };
const GROUP = { columns: 1, byteSize: 2, rows: 3, fileOffset: 5, compressedSize: 6 };
const CHUNK = { path: 1, fileOffset: 2, metadata: 3, indexes: [4, 5, 6, 7], crypto: 8, encrypted: 9 };
const META = { path: 3, uncompressed: 6, compressed: 7, data: 9, index: 10, dictionary: 11, bloom: [14, 15] };

/** Arrow's own copy of the schema, which lists all columns: with more of them it would no longer be true. */
const ARROW_SCHEMA = 'ARROW:schema';

/** A column chunk: where its pages lie, and what the footer says of it. */
export interface Chunk {
  start: number;
  length: number;
  describe: ThriftStruct;
}

/** A column at the top of the schema, with all that lies below it. */
export interface TopColumn {
  elements: ThriftValue[];
  /** A leaf's order of values, where the file states orders. */
  orders: ThriftValue[];
}

export interface Footer {
  root: ThriftStruct;
  /** By name, in order. */
  columns: Map<string, TopColumn>;
  /** Chunks of each row group by column, in order. */
  groups: { describe: ThriftStruct; rows: number; chunks: Map<string, Chunk[]> }[];
}

/** Reads a footer's bytes, without the length and magic behind it. Throws `MetadataError`. */
export function parseFooter(bytes: Uint8Array, file: string): Footer {
  try {
    const root = readThrift(bytes);
    if (root.fields.has(FILE.encryption) || root.fields.has(FILE.signing)) throw new Error('it is encrypted');
    const orders = root.fields.has(FILE.columnOrders) ? itemsOf(root, FILE.columnOrders) : undefined;
    return {
      root,
      columns: topColumns(itemsOf(root, FILE.schema).map(asStruct), orders),
      groups: itemsOf(root, FILE.rowGroups).map((group) => readGroup(asStruct(group))),
    };
  } catch (cause) {
    throw new MetadataError(`columns cannot be added to this parquet: ${messageOf(cause)}`, { file, cause });
  }
}

/** A footer with other columns: `groups` in order, their chunks already where they lie in the new file. */
export function encodeFooter(
  footer: Footer,
  columns: readonly TopColumn[],
  groups: readonly { describe: ThriftStruct; start: number; chunks: readonly Chunk[] }[],
): Uint8Array {
  const [schemaRoot] = itemsOf(footer.root, FILE.schema);
  const root = changed(asStruct(schemaRoot), [[ELEMENT.children, i32(columns.length)]]);
  const fields: [number, ThriftValue | undefined][] = [
    [FILE.schema, structs([root, ...columns.flatMap(({ elements }) => elements)])],
    [FILE.rowGroups, structs(groups.map(({ describe, start, chunks }) => newGroup(describe, start, chunks)))],
  ];
  if (footer.root.fields.has(FILE.columnOrders)) {
    fields.push([FILE.columnOrders, structs(columns.flatMap(({ orders }) => orders))]);
  }
  if (footer.root.fields.has(FILE.keyValues)) {
    const kept = itemsOf(footer.root, FILE.keyValues).filter((pair) => textOf(pair, 1) !== ARROW_SCHEMA);
    fields.push([FILE.keyValues, kept.length > 0 ? structs(kept) : undefined]);
  }
  return writeThrift(changed(footer.root, fields));
}

/** The same chunk at another place of a file. Page indexes and bloom filters, which lie elsewhere, are left behind. */
export function moveChunk({ start, length, describe }: Chunk, to: number): Chunk {
  const by = BigInt(to - start);
  const metadata = structOf(describe, CHUNK.metadata);
  const moved: [number, ThriftValue | undefined][] = META.bloom.map((field) => [field, undefined]);
  for (const field of [META.data, META.index, META.dictionary]) {
    const offset = optionalInt(metadata, field);
    if (offset !== undefined) moved.push([field, offset === 0n ? undefined : i64(offset + by)]);
  }
  const at = optionalInt(describe, CHUNK.fileOffset) ?? 0n;
  return {
    start: to,
    length,
    describe: changed(describe, [
      // Zero where a writer has nothing behind the pages, as the format asks for since 2.11.
      [CHUNK.fileOffset, i64(at === 0n ? 0n : BigInt(to))],
      [CHUNK.metadata, changed(metadata, moved)],
      ...CHUNK.indexes.map((field): [number, undefined] => [field, undefined]),
    ]),
  };
}

function topColumns(elements: ThriftStruct[], orders: ThriftValue[] | undefined): Map<string, TopColumn> {
  const columns = new Map<string, TopColumn>();
  let at = 1;
  let leaf = 0;
  const below = (column: TopColumn): void => {
    const element = elements[at++];
    if (element === undefined) throw new Error('the schema ends early');
    column.elements.push(element);
    const children = Number(optionalInt(element, ELEMENT.children) ?? 0n);
    if (children === 0) column.orders.push(orders?.[leaf++] ?? typeDefined());
    for (let child = 0; child < children; child++) below(column);
  };
  while (at < elements.length) {
    const name = textOf(elements[at], ELEMENT.name);
    const column: TopColumn = { elements: [], orders: [] };
    below(column);
    if (columns.has(name)) throw new Error(`two columns are called ${name}`);
    columns.set(name, column);
  }
  return columns;
}

/** ColumnOrder.TYPE_ORDER, the only one there is. */
function typeDefined(): ThriftStruct {
  return { kind: 'struct', fields: new Map([[1, { kind: 'struct', fields: new Map() }]]) };
}

function readGroup(describe: ThriftStruct): Footer['groups'][number] {
  const chunks = new Map<string, Chunk[]>();
  for (const item of itemsOf(describe, GROUP.columns)) {
    const chunk = asStruct(item);
    if (chunk.fields.has(CHUNK.path)) throw new Error('its columns lie in other files');
    if (chunk.fields.has(CHUNK.crypto) || chunk.fields.has(CHUNK.encrypted))
      throw new Error('it is encrypted');
    const metadata = structOf(chunk, CHUNK.metadata);
    const [top] = itemsOf(metadata, META.path);
    const name = new TextDecoder().decode(top?.kind === 'binary' ? top.bytes : new Uint8Array());
    const starts = [META.data, META.index, META.dictionary]
      .map((field) => Number(optionalInt(metadata, field) ?? 0n))
      // Old writers put a zero for no dictionary.
      .filter((offset) => offset > 0);
    const length = Number(optionalInt(metadata, META.compressed) ?? 0n);
    if (starts.length === 0 && length > 0) throw new Error(`column ${name} has no place`);
    const start = length > 0 ? Math.min(...starts) : 0;
    chunks.set(name, [...(chunks.get(name) ?? []), { start, length, describe: chunk }]);
  }
  return { describe, rows: Number(optionalInt(describe, GROUP.rows) ?? 0n), chunks };
}

function newGroup(describe: ThriftStruct, start: number, chunks: readonly Chunk[]): ThriftStruct {
  const sum = (field: number): ThriftValue =>
    i64(
      chunks.reduce(
        (total, chunk) => total + (optionalInt(structOf(chunk.describe, CHUNK.metadata), field) ?? 0n),
        0n,
      ),
    );
  return changed(describe, [
    [GROUP.columns, structs(chunks.map((chunk) => chunk.describe))],
    [GROUP.byteSize, sum(META.uncompressed)],
    [GROUP.fileOffset, describe.fields.has(GROUP.fileOffset) ? i64(BigInt(start)) : undefined],
    [GROUP.compressedSize, describe.fields.has(GROUP.compressedSize) ? sum(META.compressed) : undefined],
  ]);
}

function changed(
  struct: ThriftStruct,
  changes: readonly (readonly [number, ThriftValue | undefined])[],
): ThriftStruct {
  const fields = new Map(struct.fields);
  for (const [id, value] of changes) {
    if (value === undefined) fields.delete(id);
    else fields.set(id, value);
  }
  return { kind: 'struct', fields };
}

function structs(items: ThriftValue[]): ThriftValue {
  return { kind: 'list', type: 9, of: 12, items };
}

function itemsOf(struct: ThriftStruct, id: number): ThriftValue[] {
  const value = struct.fields.get(id);
  if (value?.kind !== 'list') throw new Error(`field ${id} is no list`);
  return value.items;
}

function structOf(struct: ThriftStruct, id: number): ThriftStruct {
  return asStruct(struct.fields.get(id));
}

function asStruct(value: ThriftValue | undefined): ThriftStruct {
  if (value?.kind !== 'struct') throw new Error('a part of the footer is missing');
  return value;
}

function optionalInt(struct: ThriftStruct, id: number): bigint | undefined {
  const value = struct.fields.get(id);
  return value?.kind === 'int' ? value.value : undefined;
}

function textOf(value: ThriftValue, id: number): string {
  const field = asStruct(value).fields.get(id);
  return new TextDecoder().decode(field?.kind === 'binary' ? field.bytes : new Uint8Array());
}
