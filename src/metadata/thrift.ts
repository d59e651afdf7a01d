/**
 * Thrift's compact protocol as a tree, read and written without knowing the schema, so that a parquet's footer can
 * be changed in a few places and keep all the rest, fields of later versions of the format included.
 *
 * The protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md. Maps, which
 * parquet's footer has none of, are refused.
 */

/** Compact type numbers. */
const TRUE = 1;
const FALSE = 2;
const BYTE = 3;
const I16 = 4;
const I32 = 5;
const I64 = 6;
const DOUBLE = 7;
const BINARY = 8;
const LIST = 9;
const SET = 10;
const STRUCT = 12;

export type ThriftValue =
  | { kind: 'bool'; value: boolean }
  /** One byte, or a double's eight. */
  | { kind: 'raw'; type: typeof BYTE | typeof DOUBLE; bytes: Uint8Array }
  | { kind: 'int'; type: typeof I16 | typeof I32 | typeof I64; value: bigint }
  | { kind: 'binary'; bytes: Uint8Array }
  | { kind: 'list'; type: typeof LIST | typeof SET; of: number; items: ThriftValue[] }
  | ThriftStruct;

export interface ThriftStruct {
  kind: 'struct';
  /** By field number, in ascending order. */
  fields: Map<number, ThriftValue>;
}

export const i32 = (value: number): ThriftValue => ({ kind: 'int', type: I32, value: BigInt(value) });
export const i64 = (value: bigint): ThriftValue => ({ kind: 'int', type: I64, value });

/** Deeper than any footer; keeps damage from exhausting the stack. */
const MAX_DEPTH = 64;

/** Reads one struct. Throws where the bytes are not one. */
export function readThrift(bytes: Uint8Array): ThriftStruct {
  return readThriftAt(bytes, 0).value;
}

/** Reads the struct that begins at a place, and says where it ends. */
export function readThriftAt(bytes: Uint8Array, start: number): { value: ThriftStruct; end: number } {
  let at = start;
  const byte = (): number => {
    if (at >= bytes.length) throw new Error('the footer ends early');
    return bytes[at++];
  };
  const take = (length: number): Uint8Array => {
    if (length < 0 || length > bytes.length - at) throw new Error('the footer ends early');
    at += length;
    return bytes.subarray(at - length, at);
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const next = byte();
      value |= BigInt(next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    throw new Error('a number of the footer is too long');
  };
  const zigzag = (): bigint => {
    const value = varint();
    return (value >> 1n) ^ -(value & 1n);
  };
  const length = (): number => Number(varint());
  const value = (type: number, depth: number): ThriftValue => {
    switch (type) {
      case BYTE:
        return { kind: 'raw', type, bytes: take(1) };
      case DOUBLE:
        return { kind: 'raw', type, bytes: take(8) };
      case I16:
      case I32:
      case I64:
        return { kind: 'int', type, value: zigzag() };
      case BINARY:
        return { kind: 'binary', bytes: take(length()) };
      case LIST:
      case SET:
        return list(type, depth);
      case STRUCT:
        return struct(depth + 1);
      default:
        throw new Error(`the footer has a field of unknown type ${type}`);
    }
  };
  const list = (type: typeof LIST | typeof SET, depth: number): ThriftValue => {
    const head = byte();
    const of = head & 15;
    const count = head >> 4 === 15 ? length() : head >> 4;
    const items: ThriftValue[] = [];
    for (let i = 0; i < count; i++) {
      // An item takes a byte at least, so a count that is damage ends with the bytes.
      if (of === TRUE || of === FALSE) items.push({ kind: 'bool', value: byte() === TRUE });
      else items.push(value(of, depth + 1));
    }
    return { kind: 'list', type, of, items };
  };
  const struct = (depth: number): ThriftStruct => {
    if (depth > MAX_DEPTH) throw new Error('the footer is nested too deep');
    const fields = new Map<number, ThriftValue>();
    for (let id = 0; ; ) {
      const head = byte();
      if (head === 0) return { kind: 'struct', fields };
      const type = head & 15;
      id = head >> 4 === 0 ? Number(zigzag()) : id + (head >> 4);
      const bool = type === TRUE || type === FALSE;
      fields.set(id, bool ? { kind: 'bool', value: type === TRUE } : value(type, depth));
    }
  };
  const root = struct(0);
  return { value: root, end: at };
}

/** The bytes of a struct; what `readThrift` read comes out as it was. */
export function writeThrift(root: ThriftStruct): Uint8Array {
  let bytes = new Uint8Array(1 << 16);
  let at = 0;
  const room = (more: number): void => {
    if (at + more <= bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * bytes.length, at + more));
    grown.set(bytes);
    bytes = grown;
  };
  const byte = (value: number): void => {
    room(1);
    bytes[at++] = value;
  };
  const put = (more: Uint8Array): void => {
    room(more.length);
    bytes.set(more, at);
    at += more.length;
  };
  const varint = (value: bigint): void => {
    let rest = value;
    for (; rest > 0x7fn; rest >>= 7n) byte(Number(rest & 0x7fn) | 0x80);
    byte(Number(rest));
  };
  const zigzag = (value: bigint): void => varint(value < 0n ? -2n * value - 1n : 2n * value);
  const write = (value: ThriftValue): void => {
    if (value.kind === 'bool') byte(value.value ? TRUE : FALSE);
    else if (value.kind === 'raw') put(value.bytes);
    else if (value.kind === 'int') zigzag(value.value);
    else if (value.kind === 'binary') {
      varint(BigInt(value.bytes.length));
      put(value.bytes);
    } else if (value.kind === 'list') {
      const { items, of } = value;
      byte((Math.min(items.length, 15) << 4) | of);
      if (items.length >= 15) varint(BigInt(items.length));
      for (const item of items) write(item);
    } else writeStruct(value);
  };
  const writeStruct = ({ fields }: ThriftStruct): void => {
    let last = 0;
    for (const [id, field] of [...fields].sort(([a], [b]) => a - b)) {
      const type = typeOf(field);
      if (id - last > 0 && id - last <= 15) byte(((id - last) << 4) | type);
      else {
        byte(type);
        zigzag(BigInt(id));
      }
      last = id;
      if (field.kind !== 'bool') write(field);
    }
    byte(0);
  };
  write(root);
  return bytes.slice(0, at);
}

function typeOf(value: ThriftValue): number {
  switch (value.kind) {
    case 'bool':
      return value.value ? TRUE : FALSE;
    case 'binary':
      return BINARY;
    case 'struct':
      return STRUCT;
    default:
      return value.type;
  }
}
