/**
 * PNG chunks, read as Pillow 13.0.0 reads them (`PngImagePlugin.py`): strict before the image data (every
 * checksum, every known chunk's length), lenient after it.
 */

import { Unzlib } from 'fflate';
import { crc32 } from './crc32.ts';
import { exifOrientation } from './exif.ts';
import { find, u16be, u32be, undecodable } from './reader.ts';
import type { PngHeader, Rect } from './types.ts';

/** Pillow's bound on what one compressed text or profile may unpack to (`MAX_TEXT_CHUNK`). */
const MAX_TEXT_CHUNK = 1024 * 1024;
/** Pillow's bound on all text together (`MAX_TEXT_MEMORY`). */
const MAX_TEXT_MEMORY = 64 * MAX_TEXT_CHUNK;

/** Bit depths allowed for each colour type. */
const DEPTHS: Record<number, number[]> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};

/** Least payload of the known chunks that have one; shorter is an error. */
const LEAST: Record<string, number> = { gAMA: 4, cHRM: 32, sRGB: 1, pHYs: 9, acTL: 8, fcTL: 26, fdAT: 4 };

export interface Chunk {
  id: string;
  /** Offset of the payload. */
  start: number;
  length: number;
}

const ID = /^[0-9A-Za-z_]{4}$/;

/** The chunk header at `at`. Throws `SampleError` where there is none. */
export function pngChunk(bytes: Uint8Array, at: number): Chunk {
  if (at + 8 > bytes.length) throw undecodable('the PNG ends where a chunk should begin');
  const id = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  if (!ID.test(id)) throw undecodable('the PNG has a broken chunk');
  return { id, start: at + 8, length: u32be(bytes, at) };
}

/** What the chunks seen so far say. */
export interface PngState {
  width: number;
  height: number;
  bitDepth: number;
  colorType: number;
  interlaced: boolean;
  palette?: Uint8Array;
  transparency?: Uint8Array;
  orientation?: number;
  /** Frames announced by acTL; undefined where there is no valid one. */
  frames?: number;
  frame?: Rect;
  sequence: number;
  textBytes: number;
}

/** Reads up to the first image data. Throws `SampleError` `undecodable_image`. */
export function readPngHeader(bytes: Uint8Array): PngHeader {
  const state: PngState = {
    width: 0,
    height: 0,
    bitDepth: 0,
    colorType: -1,
    interlaced: false,
    sequence: -1,
    textBytes: 0,
  };
  for (let at = 8; ; ) {
    const chunk = pngChunk(bytes, at);
    if (chunk.id === 'IEND') throw undecodable('the PNG has no image data');
    if (chunk.id === 'IDAT' || chunk.id === 'fdAT') {
      if (chunk.id === 'fdAT')
        applyChunk(state, chunk, bytes.subarray(chunk.start, chunk.start + chunk.length));
      return finish(state, at, chunk);
    }
    const end = chunk.start + chunk.length;
    if (end > bytes.length) throw undecodable(`the PNG ends in its ${chunk.id} chunk`);
    applyChunk(state, chunk, bytes.subarray(chunk.start, end));
    if (u32be(bytes, end) !== crc32(bytes, chunk.start - 4, end)) {
      throw undecodable(`the PNG's ${chunk.id} chunk has a wrong checksum`);
    }
    at = end + 4;
  }
}

function finish(state: PngState, dataOffset: number, data: Chunk): PngHeader {
  const { width, height, palette, transparency, orientation, sequence } = state;
  if (!DEPTHS[state.colorType]?.includes(state.bitDepth)) {
    throw undecodable(
      `the PNG has colour type ${state.colorType} with ${state.bitDepth} bits, which does not exist`,
    );
  }
  if (width < 1 || height < 1) throw undecodable(`the PNG says it is ${width}×${height}`);
  const frame = state.frame ?? { x0: 0, y0: 0, x1: width, y1: height };
  if (frame.x1 <= frame.x0 || frame.y1 <= frame.y0) throw undecodable("the PNG's first frame is empty");
  if (palette && palette.length >= 3 * 257) throw undecodable("the PNG's palette has more than 256 colours");
  // A default image outside the animation is one picture more.
  const pictures =
    (state.frames ?? 1) + (state.frames !== undefined && !state.frame && data.id === 'IDAT' ? 1 : 0);
  return {
    format: 'png',
    width,
    height,
    orientation,
    bitDepth: state.bitDepth as PngHeader['bitDepth'],
    colorType: state.colorType as PngHeader['colorType'],
    interlaced: state.interlaced,
    palette: state.colorType === 3 ? palette : undefined,
    transparency,
    animated: pictures > 1,
    frame,
    dataOffset,
    sequence,
  };
}

/**
 * Takes a chunk's payload in, checking what Pillow checks. `payload` is the whole of it, but for `fdAT`, of
 * which the first four bytes are enough. Throws `SampleError`.
 */
export function applyChunk(state: PngState, chunk: Chunk, payload: Uint8Array): void {
  const { id } = chunk;
  if (chunk.length < (LEAST[id] ?? 0)) throw undecodable(`the PNG's ${id} chunk is too short`);
  if (id === 'IHDR') readHeaderChunk(state, payload);
  else if (id === 'PLTE') {
    if (state.colorType === 3) state.palette = payload;
  } else if (id === 'tRNS') {
    const least = state.colorType === 2 ? 6 : state.colorType === 0 ? 2 : 0;
    if (payload.length < least) throw undecodable("the PNG's tRNS chunk is too short");
    state.transparency = payload;
  } else if (id === 'eXIf') state.orientation ??= exifOrientation(payload);
  else if (id === 'iCCP') checkProfile(payload);
  else if (id === 'tEXt' || id === 'zTXt' || id === 'iTXt') checkText(state, id, payload);
  else if (id === 'acTL') {
    const frames = u32be(payload, 0);
    // A second acTL takes the animation away again, for Pillow.
    if (state.frames !== undefined) state.frames = undefined;
    else if (frames > 0 && frames <= 0x80000000) state.frames = frames;
  } else if (id === 'fcTL') readFrameChunk(state, payload);
  else if (id === 'fdAT') nextSequence(state, u32be(payload, 0), false);
}

function readHeaderChunk(state: PngState, s: Uint8Array): void {
  if (s.length < 13) throw undecodable("the PNG's header is too short");
  state.width = u32be(s, 0);
  state.height = u32be(s, 4);
  if (DEPTHS[s[9]!]?.includes(s[8]!)) {
    state.bitDepth = s[8]!;
    state.colorType = s[9]!;
  }
  if (s[11] !== 0) throw undecodable("the PNG's filter method is unknown");
  if (s[12] !== 0) state.interlaced = true;
}

function readFrameChunk(state: PngState, s: Uint8Array): void {
  nextSequence(state, u32be(s, 0), true);
  const [width, height, x0, y0] = [u32be(s, 4), u32be(s, 8), u32be(s, 12), u32be(s, 16)];
  if (x0 + width > state.width || y0 + height > state.height) {
    throw undecodable('the PNG has a frame outside its canvas');
  }
  state.frame = { x0, y0, x1: x0 + width, y1: y0 + height };
}

function nextSequence(state: PngState, sequence: number, mayStart: boolean): void {
  if (sequence !== state.sequence + 1 || (state.sequence < 0 && !mayStart)) {
    throw undecodable("the PNG's frames are out of sequence");
  }
  state.sequence = sequence;
}

function checkProfile(s: Uint8Array): void {
  const method = s[find(s, 0) + 1];
  if (method !== 0) throw undecodable("the PNG's colour profile is packed in an unknown way");
  unpackedText(s.subarray(find(s, 0) + 2));
}

function checkText(state: PngState, id: string, s: Uint8Array): void {
  const zero = find(s, 0);
  const hasKey = zero !== 0 && s.length > 0;
  const rest = zero < 0 ? s.subarray(s.length) : s.subarray(zero + 1);
  let size = rest.length;
  if (id === 'zTXt') {
    if (rest.length > 0 && rest[0] !== 0) throw undecodable("the PNG's text is packed in an unknown way");
    size = unpackedText(rest.subarray(1));
  } else if (id === 'iTXt') {
    const lang = zero < 0 ? -1 : find(rest, 0, 2);
    const key = lang < 0 ? -1 : find(rest, 0, lang + 1);
    if (key < 0) return;
    const packed = rest[0] !== 0;
    if (packed && rest[1] !== 0) return;
    size = packed ? unpackedText(rest.subarray(key + 1)) : rest.length - key - 1;
  }
  if (hasKey) state.textBytes += size;
  if (state.textBytes > MAX_TEXT_MEMORY) throw undecodable('the PNG holds more text than is safe to read');
}

/** Length of unpacked text; broken data counts as none. Throws `SampleError` above `MAX_TEXT_CHUNK`. */
function unpackedText(packed: Uint8Array): number {
  let size = 0;
  const unzlib = new Unzlib((part) => {
    size += part.length;
  });
  try {
    // Small steps: a bomb is noticed before it has unpacked far.
    for (let at = 0; at < packed.length && size <= MAX_TEXT_CHUNK; at += 4096) {
      unzlib.push(packed.subarray(at, at + 4096), at + 4096 >= packed.length);
    }
  } catch {
    if (size <= MAX_TEXT_CHUNK) return 0;
  }
  if (size > MAX_TEXT_CHUNK) throw undecodable('a text or profile in the PNG unpacks to more than 1 MiB');
  return size;
}

/** The tRNS colour of a grey or RGB picture: 16-bit values. */
export function transparentColour(header: PngHeader): number[] | undefined {
  const t = header.transparency;
  if (!t || (header.colorType !== 0 && header.colorType !== 2)) return undefined;
  return header.colorType === 0 ? [u16be(t, 0)] : [u16be(t, 0), u16be(t, 2), u16be(t, 4)];
}
