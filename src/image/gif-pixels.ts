/**
 * The first frame of a GIF as Pillow 13.0.0 decodes it, also where the data is odd: codes after an end code,
 * too many or too few pixels, a frame smaller than the screen.
 *
 * Source of the rules: Pillow `GifImagePlugin.py`, `libImaging/GifDecode.c`, `ImageFile.load`; GIF89a.
 */

import { fullPalette } from './png-rows.ts';
import { undecodable } from './reader.ts';
import type { GifHeader, RawPixels } from './types.ts';

const MAX_CODES = 4096;
/** Pillow hands the decoder the file in steps of this many bytes, and gives up where a step is empty. */
const READ_STEP = 65536;

/** Throws `SampleError` `undecodable_image`. */
export function decodeGif(bytes: Uint8Array, header: GifHeader, wantAlpha: boolean): RawPixels {
  const { width, height, transparency } = header;
  // The canvas starts as the transparent index, else as 0; the screen's background colour plays no part.
  const indices = new Uint8Array(width * height);
  if (transparency !== undefined) indices.fill(transparency);
  paintFrame(bytes, header, indices);
  const palette = header.palette ? fullPalette(header.palette) : greyRamp();
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0, p = 0; i < indices.length; i++, p += 3) {
    const colour = indices[i]! * 3;
    rgb[p] = palette[colour]!;
    rgb[p + 1] = palette[colour + 1]!;
    rgb[p + 2] = palette[colour + 2]!;
  }
  const alpha =
    wantAlpha && transparency !== undefined ? indices.map((i) => (i === transparency ? 0 : 255)) : undefined;
  return { width, height, data: rgb, alpha };
}

function greyRamp(): Uint8Array {
  return Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
}

/** The frame's rows in the order in which the file holds them. */
function rowOrder(height: number, interlaced: boolean): Int32Array {
  const order = new Int32Array(height);
  let n = 0;
  const passes = interlaced
    ? [
        [0, 8],
        [4, 8],
        [2, 4],
        [1, 2],
      ]
    : [[0, 1]];
  for (const [first, step] of passes) for (let y = first!; y < height; y += step!) order[n++] = y;
  return order;
}

/** Codes of the LZW stream, across sub-blocks. Throws where Pillow would find the file truncated. */
class CodeReader {
  private buffer = 0;
  private bits = 0;
  private blockLeft = 0;
  private at: number;
  /** End of what Pillow would have read by now. */
  private known: number;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
    this.known = at;
    this.readOn();
  }

  readOn(): void {
    if (this.known >= this.bytes.length) throw undecodable('the GIF is cut short');
    this.known = Math.min(this.bytes.length, this.known + READ_STEP);
  }

  next(size: number): number {
    while (this.bits < size) {
      if (this.blockLeft > 0) {
        this.buffer |= this.bytes[this.at++]! << this.bits;
        this.bits += 8;
        this.blockLeft--;
      } else {
        // A block is begun only when the whole of it is there.
        while (this.at >= this.known || this.at + 1 + this.bytes[this.at]! > this.known) this.readOn();
        this.blockLeft = this.bytes[this.at++]!;
      }
    }
    const code = this.buffer & ((1 << size) - 1);
    this.buffer >>>= size;
    this.bits -= size;
    return code;
  }
}

function paintFrame(bytes: Uint8Array, header: GifHeader, canvas: Uint8Array): void {
  const { codeBits, frame, width } = header;
  if (codeBits > 12) throw undecodable(`the GIF has codes of ${codeBits} bits`);
  const columns = frame.x1 - frame.x0;
  const order = rowOrder(frame.y1 - frame.y0, header.interlaced);
  const clear = 1 << codeBits;
  const reader = new CodeReader(bytes, header.dataOffset);
  const link = new Uint16Array(MAX_CODES);
  const tail = new Uint8Array(MAX_CODES);
  // One more than codes: the longest string is every code after the first byte.
  const string = new Uint8Array(MAX_CODES + 1);
  let size = codeBits + 1;
  let next = clear + 2;
  /** The code before, -1 just after a clear code. */
  let last = -1;
  let lastByte = 0;
  let row = 0;
  let x = 0;
  let out = (frame.y0 + order[0]!) * width + frame.x0;

  for (;;) {
    let code = reader.next(size);
    if (code === clear) {
      size = codeBits + 1;
      next = clear + 2;
      last = -1;
      continue;
    }
    if (code === clear + 1) {
      // Pillow goes on reading, as long as the file does.
      reader.readOn();
      continue;
    }
    // The string is built from its end.
    let from = string.length;
    if (last < 0) {
      if (code > clear) throw undecodable("the GIF's image data is corrupt");
      last = code;
      lastByte = code & 0xff;
      string[--from] = lastByte;
    } else {
      const thisCode = code;
      if (code > next) throw undecodable("the GIF's image data is corrupt");
      if (code === next) {
        string[--from] = lastByte;
        code = last;
      }
      while (code >= clear) {
        if (from <= 1 || code >= MAX_CODES) throw undecodable("the GIF's image data is corrupt");
        string[--from] = tail[code]!;
        code = link[code]!;
      }
      lastByte = code;
      string[--from] = lastByte;
      if (next < MAX_CODES) {
        tail[next] = code;
        link[next] = last;
        if (next === (1 << size) - 1 && size < 12) size++;
        next++;
      }
      last = thisCode;
    }
    for (; from < string.length; from++) {
      canvas[out++] = string[from]!;
      if (++x < columns) continue;
      if (++row >= order.length) return;
      x = 0;
      out = (frame.y0 + order[row]!) * width + frame.x0;
    }
  }
}
