/**
 * Single-byte encodings and the two readings of UTF-8 that ftfy tries. Bytes are held as strings of U+0000 to
 * U+00FF, on which the byte patterns of the heuristics work as they are.
 */
import { ENCODINGS } from '../tables/mojibake.ts';

export type ByteString = string;

export interface SingleByteEncoding {
  readonly name: string;
  /** Reads bytes that the standard leaves unassigned as Latin-1 does, and 1A as U+FFFD. */
  readonly sloppy: boolean;
  /** The bytes of the text, or `undefined` where a character is not in the encoding. */
  encode(text: string): ByteString | undefined;
}

/** In the order in which they are tried (`CHARMAP_ENCODINGS` of ftfy's `chardata.py`). */
export const SINGLE_BYTE_ENCODINGS: readonly SingleByteEncoding[] = Object.entries(ENCODINGS).map(
  ([name, upper]) => singleByte(name, upper),
);

const SUBSTITUTE = 0x1a;
/** String.fromCharCode takes its characters as arguments, of which engines allow some 100,000. */
const CHUNK = 8192;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function singleByte(name: string, upper: string): SingleByteEncoding {
  const sloppy = name.startsWith('sloppy-');
  // Made at first use: most runs meet no mojibake.
  let byteOf: Map<number, number> | undefined;
  return {
    name,
    sloppy,
    encode(text) {
      byteOf ??= new Map([...upper].map((char, i) => [char.charCodeAt(0), 0x80 + i]));
      if (sloppy) byteOf.set(0xfffd, SUBSTITUTE);
      const bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        const byte = unit < 0x80 && !(sloppy && unit === SUBSTITUTE) ? unit : byteOf.get(unit);
        if (byte === undefined) return undefined;
        bytes[i] = byte;
      }
      return toByteString(bytes);
    },
  };
}

/** Strict UTF-8 as Python decodes it, a byte order mark kept; `undefined` where it is not UTF-8. */
export function decodeUtf8(bytes: ByteString): string | undefined {
  const buffer = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) buffer[i] = bytes.charCodeAt(i);
  try {
    return utf8.decode(buffer);
  } catch {
    return undefined;
  }
}

/**
 * ftfy's `utf-8-variants`: UTF-8 in which U+0000 may also be C0 80 (Java) and a character past U+FFFF a pair of
 * surrogates of three bytes each (CESU-8). Python's `$` also matches before a last line feed, so that there a C0, or
 * a pair that lacks its last byte, takes the line feed for the byte it lacks.
 */
const VARIANT = /\xc0\x80|\xc0\n$|\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf](?:[\x80-\xbf]|\n$)/g;

export function decodeUtf8Variants(bytes: ByteString): string | undefined {
  let out = '';
  let read = 0;
  for (const match of bytes.matchAll(VARIANT)) {
    const plain = decodeUtf8(bytes.slice(read, match.index));
    if (plain === undefined) return undefined;
    out += plain + variant(match[0]);
    read = match.index + match[0].length;
  }
  const rest = decodeUtf8(bytes.slice(read));
  return rest === undefined ? undefined : out + rest;
}

function variant(bytes: ByteString): string {
  if (bytes.length === 2) return '\0';
  const bits = (index: number, mask: number): number => bytes.charCodeAt(index) & mask;
  const point = (bits(1, 0x0f) << 16) + (bits(2, 0x3f) << 10) + (bits(4, 0x0f) << 6) + bits(5, 0x3f);
  return String.fromCodePoint(point + 0x10000);
}

function toByteString(bytes: Uint8Array): ByteString {
  let text = '';
  for (let i = 0; i < bytes.length; i += CHUNK) text += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  return text;
}
