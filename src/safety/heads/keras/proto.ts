/** Protocol buffers, read field by field with @bufbuild/protobuf's wire reader: no schema, no generated code. */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** A field's value: bytes for strings and messages, a number for the rest. */
export type FieldValue = Uint8Array | number;

/**
 * Calls `visit` with every field of a message. Varints above 2^53 lose their low bits, which nothing here has.
 * Throws whatever the reader throws at bytes that are no message.
 */
export function fields(message: Uint8Array, visit: (field: number, value: FieldValue) => void): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) visit(field, reader.bytes());
    else if (type === WireType.Varint) visit(field, Number(reader.int64()));
    else if (type === WireType.Bit32) visit(field, reader.fixed32());
    else reader.skip(type, field);
  }
}

/** The values of one field that is a message or a string. */
export function messages(message: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  fields(message, (field, value) => {
    if (field === wanted && value instanceof Uint8Array) found.push(value);
  });
  return found;
}

/** The last value of one field that is a number; protocol buffers leave out zeros. */
export function numberField(message: Uint8Array, wanted: number): number {
  let found = 0;
  fields(message, (field, value) => {
    if (field === wanted && typeof value === 'number') found = value;
  });
  return found;
}

export function textField(message: Uint8Array, wanted: number): string {
  const bytes = messages(message, wanted).at(-1);
  return bytes === undefined ? '' : new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** Numbers of a repeated field, packed or not. */
export function numbers(message: Uint8Array, wanted: number): number[] {
  const found: number[] = [];
  fields(message, (field, value) => {
    if (field !== wanted) return;
    if (typeof value === 'number') found.push(value);
    else {
      const reader = new BinaryReader(value);
      while (reader.pos < reader.len) found.push(Number(reader.int64()));
    }
  });
  return found;
}
