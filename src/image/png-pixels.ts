/**
 * PNG pixels as Pillow 13.0.0's own decoder gives them: also of streams that a stricter library refuses
 * (checksums of image data are not looked at, a stream that ends on a row's end leaves the rest black) and
 * of 16 bits (grey is clipped at 255, colour keeps its high byte).
 *
 * Source of the rules: Pillow `PngImagePlugin.py` (`load_read`, `load_end`), `libImaging/ZipDecode.c`,
 * `Unpack.c`, `Convert.c`; PNG specification for filters and Adam7.
 */

import { applyChunk, type Chunk, type PngState, pngChunk, transparentColour } from './png.ts';
import { rowPainter } from './png-rows.ts';
import { unfilter } from './png-unfilter.ts';
import { undecodable } from './reader.ts';
import type { PngHeader, RawPixels } from './types.ts';

/** How far a zlib stream could be unpacked. */
export interface Inflated {
  /** At most `limit` bytes. */
  data: Uint8Array;
  /**
   * - `full`: `limit` bytes are there, and nothing was wrong up to that point
   * - `ended`: the stream ended before, in good order
   * - `short`: the input ended first
   * - `broken`: the stream is corrupt
   */
  state: 'full' | 'ended' | 'short' | 'broken';
}

/** Unpacks a zlib stream that lies in several parts. Must not hold much more than `limit` bytes. */
export type Inflate = (parts: Uint8Array[], limit: number) => Promise<Inflated>;

interface Pass {
  width: number;
  height: number;
  x: number;
  y: number;
  stepX: number;
  stepY: number;
}

const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

const CHANNELS: Record<PngHeader['colorType'], number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** Throws `SampleError` `undecodable_image`. `wantAlpha` fills `alpha` where the picture has any. */
export async function decodePng(
  bytes: Uint8Array,
  header: PngHeader,
  inflate: Inflate,
  wantAlpha: boolean,
): Promise<RawPixels> {
  const bits = header.bitDepth * CHANNELS[header.colorType];
  const passes = layout(header);
  const need = passes.reduce((sum, p) => sum + p.height * (1 + rowLength(p.width, bits)), 0);
  const { parts, end, sequence, cut } = collect(bytes, header);
  const { data, state } = await inflate(parts, need);
  if (state === 'broken') throw undecodable("the PNG's image data is corrupt");
  if (state === 'short') throw undecodable('the PNG is cut short');
  // A chunk that ends early is fine only where the last row needed it.
  if (cut && (await inflate(parts.slice(0, -1), need)).state === 'full') {
    throw undecodable('the PNG ends in a chunk after its image data');
  }

  const { width, height } = header;
  const rgb = new Uint8Array(width * height * 3);
  const hasAlpha = header.colorType === 4 || header.colorType === 6 || header.transparency !== undefined;
  const alpha = wantAlpha && hasAlpha ? new Uint8Array(width * height) : undefined;
  const paint = rowPainter(header, transparentColour(header));
  fillUnpainted(header, rgb);
  let at = 0;
  for (const pass of passes) {
    const length = rowLength(pass.width, bits);
    // The row above the first row of a pass is black.
    let previous: Uint8Array = new Uint8Array(length);
    for (let row = 0; row < pass.height && at < data.length; row++) {
      if (at + 1 + length > data.length) throw undecodable("the PNG's image data ends inside a row");
      const line = data.subarray(at + 1, at + 1 + length);
      unfilter(data[at]!, line, previous, (bits + 7) >> 3);
      paint(line, pass.width, rgb, alpha, (pass.y + row * pass.stepY) * width + pass.x, pass.stepX);
      previous = line;
      at += 1 + length;
    }
  }
  if (at === 0) throw undecodable('the PNG has no image data');
  checkTail(bytes, header, end, sequence);
  return { width, height, data: rgb, alpha };
}

function rowLength(width: number, bits: number): number {
  return Math.ceil((width * bits) / 8);
}

/** The runs of rows in the stream. An interlaced first frame is painted from the corner, as Pillow does. */
function layout(header: PngHeader): Pass[] {
  const { x0, y0, x1, y1 } = header.frame;
  const [width, height] = [x1 - x0, y1 - y0];
  if (!header.interlaced) return [{ width, height, x: x0, y: y0, stepX: 1, stepY: 1 }];
  return ADAM7.map(([x, y, stepX, stepY]) => ({
    width: Math.max(0, Math.ceil((width - x) / stepX)),
    height: Math.max(0, Math.ceil((height - y) / stepY)),
    x,
    y,
    stepX,
    stepY,
  })).filter((pass) => pass.width > 0 && pass.height > 0);
}

/** Index 0 of the palette shows where no row has been painted; elsewhere that is black. */
function fillUnpainted(header: PngHeader, rgb: Uint8Array): void {
  if (header.colorType !== 3 || !header.palette || header.palette.length < 3) return;
  const [r, g, b] = header.palette;
  if (r === 0 && g === 0 && b === 0) return;
  for (let i = 0; i < rgb.length; i += 3) {
    rgb[i] = r!;
    rgb[i + 1] = g!;
    rgb[i + 2] = b!;
  }
}

/** The run of data chunks that holds the first frame, and where it ends. */
function collect(
  bytes: Uint8Array,
  header: PngHeader,
): { parts: Uint8Array[]; end: number; sequence: number; cut: boolean } {
  const parts: Uint8Array[] = [];
  let { sequence } = header;
  let at = header.dataOffset;
  for (let first = true; ; first = false) {
    let chunk: Chunk;
    try {
      chunk = pngChunk(bytes, at);
    } catch {
      break;
    }
    if (chunk.id !== 'IDAT' && chunk.id !== 'DDAT' && chunk.id !== 'fdAT') break;
    let skip = 0;
    if (chunk.id === 'fdAT') {
      // The header reader has taken in the sequence number of the first one.
      if (!first) sequence = follow(bytes, chunk, sequence);
      skip = 4;
    }
    parts.push(bytes.subarray(chunk.start + skip, chunk.start + chunk.length));
    at = chunk.start + chunk.length + 4;
  }
  return { parts, end: at, sequence, cut: at - 4 > bytes.length };
}

function follow(bytes: Uint8Array, chunk: Chunk, sequence: number): number {
  const state = emptyState(sequence);
  applyChunk(state, chunk, bytes.subarray(chunk.start, chunk.start + chunk.length));
  return state.sequence;
}

function emptyState(sequence: number): PngState {
  return { width: 0, height: 0, bitDepth: 0, colorType: -1, interlaced: false, sequence, textBytes: 0 };
}

/**
 * What Pillow still reads after the last row: chunks up to IEND must be whole, and known ones in order; a
 * file that just ends there is fine.
 */
function checkTail(bytes: Uint8Array, header: PngHeader, from: number, sequence: number): void {
  const { width, height, bitDepth, colorType, interlaced } = header;
  const state: PngState = { width, height, bitDepth, colorType, interlaced, sequence, textBytes: 0 };
  for (let at = from; ; ) {
    let chunk: Chunk;
    try {
      chunk = pngChunk(bytes, at);
    } catch {
      return;
    }
    if (chunk.id === 'IEND' || (chunk.id === 'fcTL' && header.animated)) return;
    const end = chunk.start + chunk.length;
    if (end > bytes.length) throw undecodable(`the PNG ends in its ${chunk.id} chunk`);
    if (chunk.id !== 'IDAT') applyChunk(state, chunk, bytes.subarray(chunk.start, end));
    at = end + 4;
  }
}
