/** One frame of an animated WebP as a still WebP of its own. */

import type { RawPixels, WebpHeader } from './types.ts';

/** `bytes` where they hold one still picture, else the first frame by itself. */
export function singleFrame(bytes: Uint8Array, header: WebpHeader): Uint8Array {
  return header.animated ? firstFrameOf(bytes, header) : bytes;
}

/** The decoded first frame on its canvas; around a smaller frame the canvas is transparent black. */
export function placeFrame(raw: RawPixels, header: WebpHeader): RawPixels {
  const { width, height } = header;
  const { x0, y0, x1, y1 } = header.frame;
  if (!header.animated || (raw.width === width && raw.height === height)) return raw;
  if (raw.width !== x1 - x0 || raw.height !== y1 - y0) return raw;
  const data = new Uint8Array(width * height * 3);
  const alpha = new Uint8Array(width * height);
  for (let y = 0; y < raw.height; y++) {
    const at = (y0 + y) * width + x0;
    data.set(raw.data.subarray(y * raw.width * 3, (y + 1) * raw.width * 3), at * 3);
    if (raw.alpha) alpha.set(raw.alpha.subarray(y * raw.width, (y + 1) * raw.width), at);
    else alpha.fill(255, at, at + raw.width);
  }
  return { width, height, data, alpha };
}

/**
 * A WebP file with the first frame's bitstream alone: no animation, metadata or colour profile. Its pixels
 * are those of the frame rectangle, before any blending.
 */
function firstFrameOf(bytes: Uint8Array, header: WebpHeader): Uint8Array {
  const { x0, y0, x1, y1 } = header.frame;
  const parts: Uint8Array[] = [];
  if (header.alphaData) {
    const extended = new Uint8Array(10);
    extended[0] = 0x10;
    write24(extended, 4, x1 - x0 - 1);
    write24(extended, 7, y1 - y0 - 1);
    parts.push(chunk('VP8X', extended), chunk('ALPH', bytes.subarray(...header.alphaData)));
  }
  parts.push(chunk(header.lossless ? 'VP8L' : 'VP8 ', bytes.subarray(...header.image)));
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const out = new Uint8Array(12 + size);
  writeText(out, 0, 'RIFF');
  new DataView(out.buffer).setUint32(4, 4 + size, true);
  writeText(out, 8, 'WEBP');
  let at = 12;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function chunk(id: string, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(8 + payload.length + (payload.length & 1));
  writeText(out, 0, id);
  new DataView(out.buffer).setUint32(4, payload.length, true);
  out.set(payload, 8);
  return out;
}

function writeText(out: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
}

function write24(out: Uint8Array, at: number, value: number): void {
  out[at] = value & 0xff;
  out[at + 1] = (value >> 8) & 0xff;
  out[at + 2] = (value >> 16) & 0xff;
}
