/**
 * The header of a safetensors file: which tensor lies where. The tensors themselves are never read here; the
 * graphs point at them by offset. Rules after the format's own description (github.com/huggingface/safetensors,
 * "Format"): 8 bytes of little-endian header length, a JSON object that begins with `{` and may be padded with
 * spaces, then the tensors without holes or overlaps up to the end of the file.
 */
import { ModelError } from '../errors.ts';

/** A file that can be read by range. */
export interface RangedBytes {
  /** For messages: a path or an URL. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes `[start, end)`; `0 <= start <= end <= size`. */
  slice(start: number, end: number): Promise<Uint8Array>;
}

/** Bytes of one element, for the types whose layout we can check. Sub-byte types are not among them. */
const ELEMENT_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;

export type TensorType = keyof typeof ELEMENT_BYTES;

export interface TensorEntry {
  readonly name: string;
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  /** Bytes from the start of the file, header included. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

export interface TensorTable {
  /** The file's name, for messages. */
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The header's free text (`__metadata__`), `{}` where absent. */
  readonly metadata: Readonly<Record<string, string>>;
}

const LENGTH_BYTES = 8;
/** The largest CLIP (bigG, 1,500 tensors) has a header of 180 KB; the format itself would allow 100 MB. */
export const MAX_HEADER_BYTES = 16 * 2 ** 20;
/** No tensor of a transformer has more than four; a longer list is garbage. */
const MAX_RANK = 16;

/**
 * Reads the tensor table of a safetensors file. `what` names it in messages.
 * Throws `ModelError` with the file (and tensor) named: a file that is too short, a header that is not one, a type
 * that is unknown, offsets that overlap, leave holes or do not fit the shape or the file.
 */
export async function readSafetensors(file: RangedBytes, what = 'checkpoint'): Promise<TensorTable> {
  const fail = failure(file.name, what);
  if (file.size < LENGTH_BYTES + 2) throw fail(`is no safetensors file: ${file.size} bytes`);
  const prefix = await file.slice(0, LENGTH_BYTES);
  if (prefix.byteLength !== LENGTH_BYTES) throw fail('cannot be read to the end of its header');
  const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw fail(
      `is no safetensors file: it claims a header of ${length} bytes, more than ${MAX_HEADER_BYTES}`,
    );
  }
  const headerEnd = LENGTH_BYTES + Number(length);
  if (headerEnd > file.size) throw fail(`ends inside its header: ${file.size} bytes of ${headerEnd}`);
  const header = await file.slice(LENGTH_BYTES, headerEnd);
  if (header.byteLength !== Number(length)) throw fail('cannot be read to the end of its header');
  return parseSafetensorsHeader(header, file.size, file.name, what);
}

/**
 * Parses the JSON part of the header. `fileSize` is the whole file's size in bytes; the tensors must fill it exactly.
 * Throws as `readSafetensors` does.
 */
export function parseSafetensorsHeader(
  header: Uint8Array,
  fileSize: number,
  name: string,
  what = 'checkpoint',
): TensorTable {
  const fail = failure(name, what);
  const root = parseJson(header, fail);
  const base = LENGTH_BYTES + header.byteLength;
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(root)) {
    if (key === '__metadata__') metadata = parseMetadata(value, fail);
    else tensors.set(key, parseEntry(key, value, base, fail));
  }
  checkLayout([...tensors.values()], base, fileSize, fail);
  return { file: name, tensors, metadata };
}

type Fail = (message: string, tensor?: string, cause?: unknown) => ModelError;

function failure(file: string, what: string): Fail {
  const hint = `Download the ${what} again, or name another file`;
  return (message, tensor, cause) => new ModelError(`the ${what} ${message}`, { file, tensor, hint, cause });
}

function parseJson(header: Uint8Array, fail: Fail): Record<string, unknown> {
  // A file of another kind is told apart by its first byte before anything is decoded.
  if (header[0] !== 0x7b) throw fail('is no safetensors file: its header does not begin with {');
  let root: unknown;
  try {
    root = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(header));
  } catch (cause) {
    throw fail('has a header that is not JSON', undefined, cause);
  }
  if (!isRecord(root)) throw fail('has a header that is not an object');
  return root;
}

function parseMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (!isRecord(value)) throw fail('has a __metadata__ that is not an object');
  const texts: Record<string, string> = {};
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw fail(`has a __metadata__ value that is not a string: ${clip(key)}`);
    Object.defineProperty(texts, key, { value: text, enumerable: true });
  }
  return texts;
}

function parseEntry(name: string, value: unknown, base: number, fail: Fail): TensorEntry {
  const tensor = clip(name);
  if (!isRecord(value)) throw fail('describes a tensor by something that is not an object', tensor);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !isTensorType(dtype)) {
    throw fail(`has a tensor of an unknown type ${clip(String(dtype))}`, tensor);
  }
  if (!isSizes(shape) || shape.length > MAX_RANK) throw fail('has a tensor without a valid shape', tensor);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw fail('has a tensor without valid data_offsets', tensor);
  }
  const length = offsets[1] - offsets[0];
  const expected = shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype]);
  if (expected !== length) {
    throw fail(`has a tensor whose ${length} bytes do not fit ${dtype} [${shape.join(', ')}]`, tensor);
  }
  return { name, dtype, shape, offset: base + offsets[0], length };
}

function checkLayout(entries: TensorEntry[], base: number, fileSize: number, fail: Fail): void {
  let end = base;
  // Empty tensors may share an offset with the next one, so ends break ties.
  for (const entry of entries.sort((a, b) => a.offset - b.offset || a.length - b.length)) {
    if (entry.offset !== end) {
      const how = entry.offset < end ? 'overlaps another' : 'leaves a hole before it';
      throw fail(`has a tensor that ${how}`, clip(entry.name));
    }
    end += entry.length;
  }
  if (end > fileSize) throw fail(`is cut short: ${fileSize} bytes of ${end}`);
  if (end < fileSize) throw fail(`has ${fileSize - end} bytes after its last tensor`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTensorType(name: string): name is TensorType {
  return Object.hasOwn(ELEMENT_BYTES, name);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Names come from the file: a message shows no more than a line of them. */
function clip(text: string): string {
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
