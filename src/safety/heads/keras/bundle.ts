/**
 * TensorFlow's checkpoint V2, the "tensor bundle": `variables.index` is a sorted table in LevelDB's format, from
 * names to `BundleEntryProto`; `variables.data-…` holds the values. Formats: leveldb/doc/table_format.md,
 * tensorflow/core/protobuf/tensor_bundle.proto.
 */
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { maskedCrc32c } from './crc32c.ts';
import { messages, numberField } from './proto.ts';

/** DataType.DT_FLOAT */
const DT_FLOAT = 1;
const FOOTER_BYTES = 48;
/** Little-endian, the file's last eight bytes. */
const TABLE_MAGIC = 0xdb4775248b80fb57n;
/** After each block: one byte of compression (0 is none), four of CRC. */
const TRAILER_BYTES = 5;

/** The float32 variables of a checkpoint. */
export interface Bundle {
  readonly names: readonly string[];
  /** One variable with its shape. Throws `Error` where it is absent, not float32, out of bounds or damaged. */
  floats(name: string): { shape: number[]; values: Float32Array };
}

/** Opens a checkpoint of one data file. Throws `Error` saying what is wrong. */
export function openBundle(index: Uint8Array, data: Uint8Array): Bundle {
  const entries = readTable(index);
  const header = entries.get('');
  if (header === undefined) throw new Error('variables.index has no header');
  if (numberField(header, 1) !== 1) throw new Error('the variables lie in more than one file');
  if (numberField(header, 2) !== 0) throw new Error('the variables are big-endian');
  return {
    names: [...entries.keys()].filter((name) => name !== ''),
    floats(name) {
      const entry = entries.get(name);
      if (entry === undefined) throw new Error(`there is no variable ${name}`);
      if (numberField(entry, 1) !== DT_FLOAT || messages(entry, 7).length > 0)
        throw new Error(`the variable ${name} is not one float32 tensor`);
      const shape = shapeOf(messages(entry, 2)[0]);
      const offset = numberField(entry, 4);
      const size = numberField(entry, 5);
      const count = shape.reduce((product, n) => product * n, 1);
      if (!(offset >= 0 && size >= 0 && offset + size <= data.length) || size !== 4 * count)
        throw new Error(`the variable ${name} does not fit into variables.data`);
      const bytes = data.slice(offset, offset + size);
      if (maskedCrc32c(bytes) !== numberField(entry, 6) >>> 0)
        throw new Error(`the variable ${name} is damaged: its checksum differs`);
      return { shape, values: new Float32Array(bytes.buffer) };
    },
  };
}

/** TensorShapeProto */
export function shapeOf(message: Uint8Array | undefined): number[] {
  if (message === undefined) return [];
  const shape = messages(message, 2).map((dim) => numberField(dim, 1));
  if (shape.some((n) => !(n >= 0 && n <= 1e8))) throw new Error(`a tensor has the shape [${shape}]`);
  return shape;
}

function readTable(table: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  if (table.length < FOOTER_BYTES || view.getBigUint64(table.length - 8, true) !== TABLE_MAGIC)
    throw new Error('variables.index is no table');
  const footer = new BinaryReader(table.subarray(table.length - FOOTER_BYTES, table.length - 8));
  // The first handle is of the meta index, which is empty.
  readHandle(footer);
  const entries = new Map<string, Uint8Array>();
  for (const [, handle] of readBlock(table, readHandle(footer))) {
    for (const [name, value] of readBlock(table, readHandle(new BinaryReader(handle)))) {
      if (entries.has(name)) throw new Error(`variables.index has ${name} twice`);
      entries.set(name, value);
    }
  }
  return entries;
}

interface Handle {
  offset: number;
  size: number;
}

function readHandle(reader: BinaryReader): Handle {
  return { offset: Number(reader.uint64()), size: Number(reader.uint64()) };
}

/** Entries share the beginning of their key with the one before. */
function readBlock(table: Uint8Array, { offset, size }: Handle): [string, Uint8Array][] {
  if (!(offset + size + TRAILER_BYTES <= table.length)) throw new Error('variables.index is cut short');
  const block = table.subarray(offset, offset + size);
  const type = table.subarray(offset + size, offset + size + 1);
  if (type[0] !== 0) throw new Error(`variables.index is compressed (${type[0]})`);
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  if (view.getUint32(offset + size + 1, true) !== maskedCrc32c(block, type))
    throw new Error('variables.index is damaged: a checksum differs');
  const restarts = size < 4 ? Number.NaN : view.getUint32(offset + size - 4, true);
  const end = size - 4 * (restarts + 1);
  if (!(end >= 0)) throw new Error('variables.index is damaged');
  const entries: [string, Uint8Array][] = [];
  const reader = new BinaryReader(block.subarray(0, end));
  let key: Uint8Array = new Uint8Array(0);
  while (reader.pos < reader.len) {
    const [shared, rest, length] = [reader.uint32(), reader.uint32(), reader.uint32()];
    const valueStart = reader.pos + rest;
    if (shared > key.length || valueStart + length > end) throw new Error('variables.index is damaged');
    const next = new Uint8Array(shared + rest);
    next.set(key.subarray(0, shared));
    next.set(block.subarray(reader.pos, valueStart), shared);
    key = next;
    entries.push([new TextDecoder().decode(key), block.subarray(valueStart, valueStart + length)]);
    reader.pos = valueStart + length;
  }
  return entries;
}
