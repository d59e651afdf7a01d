/**
 * WebP containers: size, and where the first frame's bitstream lies.
 *
 * Source of the rules: the WebP container specification and what libwebp's demuxer refuses, through which
 * Pillow reads every WebP.
 */

import { exifOrientation } from './exif.ts';
import { has, u16le, u24le, u32le, undecodable } from './reader.ts';
import type { WebpHeader } from './types.ts';

/** libwebp's largest chunk payload: 2^32 less a header, less padding. */
const MAX_PAYLOAD = 0xfffffff6;
/** Animation, XMP, EXIF, alpha, ICC; libwebp refuses a file with any other. */
const VALID_FLAGS = 0x3e;
/** libwebp refuses canvases and frames of 2^32 pixels and more. */
const MAX_AREA = 2 ** 32;

/** Chunks that a picture's data begins with. */
const BITSTREAMS = ['ALPH', 'VP8 ', 'VP8L'];

interface Chunk {
  id: string;
  start: number;
  /** End of the payload, without padding. */
  end: number;
  next: number;
}

interface Bitstream {
  width: number;
  height: number;
  lossless: boolean;
  alpha: boolean;
  image: [number, number];
  alphaData?: [number, number];
}

function chunkAt(bytes: Uint8Array, at: number, limit: number): Chunk {
  if (at + 8 > limit) throw undecodable('the WebP ends in a chunk header');
  const size = u32le(bytes, at + 4);
  const next = at + 8 + size + (size & 1);
  if (size > MAX_PAYLOAD || next > limit) throw undecodable('a WebP chunk runs past the end of the file');
  return { id: String.fromCharCode(...bytes.subarray(at, at + 4)), start: at + 8, end: at + 8 + size, next };
}

/** Throws `SampleError` `undecodable_image`. */
export function readWebpHeader(bytes: Uint8Array): WebpHeader {
  const riffSize = u32le(bytes, 4);
  const limit = riffSize + 8;
  if (riffSize < 8 || riffSize > MAX_PAYLOAD) throw undecodable('the WebP has an impossible size');
  if (limit > bytes.length) {
    throw undecodable(`the WebP is cut short: ${limit} bytes announced, ${bytes.length} there`);
  }
  if (has(bytes, 12, 'VP8X')) return readExtended(bytes, limit);
  const { width, height, lossless, alpha, image } = readBitstream(bytes, 12, limit).stream;
  const frame = { x0: 0, y0: 0, x1: width, y1: height };
  return { format: 'webp', width, height, lossless, alpha, animated: false, frame, image };
}

function readExtended(bytes: Uint8Array, limit: number): WebpHeader {
  const head = chunkAt(bytes, 12, limit);
  if (head.end - head.start < 10) throw undecodable("the WebP's extended header is too short");
  const flags = bytes[head.start]!;
  if ((flags & ~VALID_FLAGS) !== 0) throw undecodable('the WebP has unknown flags');
  const animated = (flags & 2) !== 0;
  const width = u24le(bytes, head.start + 4) + 1;
  const height = u24le(bytes, head.start + 7) + 1;
  if (width * height >= MAX_AREA) throw undecodable('the WebP has an impossible size');
  let first: { stream: Bitstream; x0: number; y0: number } | undefined;
  let orientation: number | undefined;
  let sawAnimation = false;
  for (let at = head.next; at < limit; ) {
    const chunk = chunkAt(bytes, at, limit);
    let next = chunk.next;
    if (chunk.id === 'VP8X') throw undecodable('the WebP has two extended headers');
    if (chunk.id === 'ANIM') {
      if (chunk.end - chunk.start < 6) throw undecodable("the WebP's animation header is too short");
      sawAnimation = true;
    } else if (chunk.id === 'EXIF') {
      orientation ??= exifOrientation(bytes.subarray(chunk.start, chunk.end));
    } else if (chunk.id === 'ANMF') {
      if (!sawAnimation) throw undecodable('the WebP has a frame before its animation header');
      const frame = readFrame(bytes, chunk, width, height);
      // A file that is not flagged as animated has its frames passed over.
      if (animated && frame) first ??= frame;
      // What follows the frame's bitstream is read as chunks of the file.
      next = frame ? frame.next : chunk.start + 16;
    } else if (chunk.id === 'ALPH' || chunk.id === 'VP8 ' || chunk.id === 'VP8L') {
      if (sawAnimation || animated || first) throw undecodable('the WebP has a picture outside its frames');
      const read = readBitstream(bytes, at, limit);
      if (read.stream.width !== width || read.stream.height !== height) {
        throw undecodable("the WebP's picture is not as large as its canvas");
      }
      first = { stream: read.stream, x0: 0, y0: 0 };
      next = read.next;
    }
    at = next;
  }
  if (!first) throw undecodable('the WebP has no picture');
  const { stream, x0, y0 } = first;
  const frame = { x0, y0, x1: x0 + stream.width, y1: y0 + stream.height };
  const { lossless, alpha, image, alphaData } = stream;
  return { format: 'webp', width, height, orientation, lossless, alpha, animated, frame, image, alphaData };
}

function readFrame(
  bytes: Uint8Array,
  chunk: Chunk,
  canvasWidth: number,
  canvasHeight: number,
): { stream: Bitstream; x0: number; y0: number; next: number } | undefined {
  if (chunk.end - chunk.start < 16) throw undecodable('a WebP frame is too short');
  const x0 = 2 * u24le(bytes, chunk.start);
  const y0 = 2 * u24le(bytes, chunk.start + 3);
  const area = (u24le(bytes, chunk.start + 6) + 1) * (u24le(bytes, chunk.start + 9) + 1);
  if (area >= MAX_AREA) throw undecodable('a WebP frame has an impossible size');
  const content = chunk.start + 16;
  if (content >= chunk.next) return undefined;
  // A frame that begins with any other chunk is none; libwebp goes on after its header.
  if (!BITSTREAMS.some((id) => has(bytes, content, id))) return undefined;
  // Else the frame's own size does not count: libwebp goes by the bitstream's.
  const { stream, next } = readBitstream(bytes, content, chunk.next);
  const { width, height } = stream;
  if (x0 + width > canvasWidth || y0 + height > canvasHeight) {
    throw undecodable('a WebP frame lies outside the canvas');
  }
  return { stream, x0, y0, next };
}

/**
 * An optional ALPH chunk and the VP8 or VP8L chunk right after it; libwebp takes no other chunk between.
 */
function readBitstream(bytes: Uint8Array, from: number, limit: number): { stream: Bitstream; next: number } {
  let chunk = chunkAt(bytes, from, limit);
  let alphaData: [number, number] | undefined;
  if (chunk.id === 'ALPH') {
    alphaData = [chunk.start, chunk.end];
    chunk = chunkAt(bytes, chunk.next, limit);
  }
  const lossless = chunk.id === 'VP8L';
  if (!lossless && chunk.id !== 'VP8 ') throw undecodable('the WebP has no picture where one should be');
  if (lossless && alphaData) throw undecodable('the WebP has its transparency twice');
  if (chunk.next < limit && has(bytes, chunk.next, 'ALPH')) {
    throw undecodable('the WebP has its transparency after the picture');
  }
  const size = lossless
    ? readLossless(bytes, chunk)
    : { ...readLossy(bytes, chunk), alpha: alphaData !== undefined };
  return { stream: { ...size, lossless, image: [chunk.start, chunk.end], alphaData }, next: chunk.next };
}

function readLossy(bytes: Uint8Array, chunk: Chunk): { width: number; height: number } {
  const at = chunk.start;
  if (chunk.end - at < 10 || !has(bytes, at + 3, '\x9d\x01\x2a'))
    throw undecodable('the WebP has no VP8 key frame');
  const tag = u24le(bytes, at);
  const isShownKeyFrame = (tag & 1) === 0 && (tag & 0x10) !== 0;
  // Profiles 0–3; the first partition must lie in the chunk.
  if (!isShownKeyFrame || ((tag >> 1) & 7) > 3 || tag >> 5 >= chunk.end - at) {
    throw undecodable('the WebP has a broken VP8 frame header');
  }
  const width = u16le(bytes, at + 6) & 0x3fff;
  const height = u16le(bytes, at + 8) & 0x3fff;
  if (width === 0 || height === 0) throw undecodable(`the WebP says it is ${width}×${height}`);
  return { width, height };
}

function readLossless(bytes: Uint8Array, chunk: Chunk): { width: number; height: number; alpha: boolean } {
  const at = chunk.start;
  if (chunk.end - at < 5 || bytes[at] !== 0x2f) throw undecodable('the WebP has no VP8L signature');
  const bits = u32le(bytes, at + 1);
  return {
    width: (bits & 0x3fff) + 1,
    height: ((bits >>> 14) & 0x3fff) + 1,
    alpha: ((bits >>> 28) & 1) === 1,
  };
}
