/** Pax records: `length key=value\n`, the length counting itself (POSIX pax, "pax Extended Header"). */
import { decodeName } from './format.ts';

/** What an extended header changes of the member behind it; only what this reader uses is kept. */
export interface Extension {
  path?: string;
  linkpath?: string;
  size?: number;
  mtime?: number;
  /** Set where a `GNU.sparse.*` record is there: the data is not the file's bytes. */
  sparse?: boolean;
  sparseName?: string;
}

const ascii = new TextDecoder('latin1');

/** Throws a plain `RangeError` saying what is wrong with the records; the reader adds the place. */
export function parsePax(bytes: Uint8Array): Extension {
  const extension: Extension = {};
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = digitsEnd(bytes, at);
    const length = space > at && bytes[space] === 0x20 ? Number(ascii.decode(bytes.subarray(at, space))) : 0;
    const end = at + length;
    // Five bytes are the least that a record can have: `5 x=\n`.
    if (length < 5 || end > bytes.length || bytes[end - 1] !== 0x0a) {
      throw new RangeError('a pax record has a wrong length');
    }
    const equals = bytes.indexOf(0x3d, space + 1);
    if (equals <= space + 1 || equals > end - 2) {
      throw new RangeError('a pax record has no key');
    }
    take(extension, ascii.decode(bytes.subarray(space + 1, equals)), bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return extension;
}

function take(extension: Extension, key: string, value: Uint8Array): void {
  // `hdrcharset` needs no code: both values in use, UTF-8 and BINARY, come out right of `decodeName`.
  if (key === 'path') extension.path = decodeName(withoutSlashes(value));
  else if (key === 'linkpath') extension.linkpath = decodeName(value);
  else if (key === 'size') extension.size = digits(ascii.decode(value));
  else if (key === 'mtime') extension.mtime = Number.parseFloat(ascii.decode(value));
  else if (key.startsWith('GNU.sparse.')) {
    extension.sparse = true;
    if (key === 'GNU.sparse.name') extension.sparseName = decodeName(value);
  }
}

/** tarfile drops slashes at the end of a pax path. */
function withoutSlashes(path: Uint8Array): Uint8Array {
  let end = path.length;
  while (end > 0 && path[end - 1] === 0x2f) end -= 1;
  return path.subarray(0, end);
}

function digits(text: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new RangeError('a pax size is no number of bytes');
  return value;
}

function digitsEnd(bytes: Uint8Array, at: number): number {
  // Seven digits reach past the cap on the whole block.
  let end = at;
  while (end < bytes.length && end - at < 8 && bytes[end] >= 0x30 && bytes[end] <= 0x39) end += 1;
  return end;
}
