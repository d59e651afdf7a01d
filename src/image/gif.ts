/**
 * GIF up to the first frame's data, read as Pillow 13.0.0 reads it (`GifImagePlugin.py`): stray bytes between
 * blocks are passed over, a frame larger than the screen enlarges it, an identity grey palette is none.
 */

import { has, u16le, undecodable } from './reader.ts';
import type { GifHeader } from './types.ts';

/** A cursor that reads as Python's file does: short at the end, never past it. */
class Cursor {
  at = 0;
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  take(n: number): Uint8Array {
    const part = this.bytes.subarray(this.at, this.at + n);
    this.at += part.length;
    return part;
  }
  /** A data sub-block, or undefined at the terminator and at the end of the file. */
  block(): Uint8Array | undefined {
    const size = this.take(1)[0];
    return size ? this.take(size) : undefined;
  }
}

function needsPalette(p: Uint8Array): boolean {
  for (let i = 0; i < p.length; i += 3) {
    if (p[i] !== i / 3) return true;
    if (i + 1 >= p.length) break;
    if (p[i + 1] !== p[i]) return true;
    if (i + 2 >= p.length) break;
    if (p[i + 2] !== p[i]) return true;
  }
  if (p.length % 3 !== 0) throw undecodable("the GIF's palette is cut short");
  return false;
}

/** Throws `SampleError` `undecodable_image`. */
export function readGifHeader(bytes: Uint8Array): GifHeader {
  const cursor = new Cursor(bytes);
  const screen = cursor.take(13);
  let width = u16le(screen, 6);
  let height = u16le(screen, 8);
  if (screen.length < 11) throw undecodable('the GIF ends in its header');
  let global: Uint8Array | undefined;
  const flags = screen[10]!;
  if (flags & 0x80) {
    if (screen.length < 12) throw undecodable('the GIF ends in its header');
    const palette = cursor.take(3 << ((flags & 7) + 1));
    if (needsPalette(palette)) global = palette;
  }

  const { descriptor, transparency } = findFrame(cursor);
  const x0 = u16le(descriptor, 0);
  const y0 = u16le(descriptor, 2);
  const x1 = x0 + u16le(descriptor, 4);
  const y1 = y0 + u16le(descriptor, 6);
  if (descriptor.length < 9) throw undecodable("the GIF ends in its first frame's header");
  width = Math.max(width, x1);
  height = Math.max(height, y1);
  const frameFlags = descriptor[8]!;
  let palette = global;
  if (frameFlags & 0x80) {
    const local = cursor.take(3 << ((frameFlags & 7) + 1));
    // A local identity grey palette is none; Pillow then paints with the global one, if there is one.
    if (needsPalette(local)) palette = local;
  }
  const codeBits = cursor.take(1)[0];
  if (codeBits === undefined) throw undecodable('the GIF ends before its first frame');
  if (x1 <= x0 || y1 <= y0) throw undecodable("the GIF's first frame is empty");
  return {
    format: 'gif',
    width,
    height,
    frame: { x0, y0, x1, y1 },
    interlaced: (frameFlags & 0x40) !== 0,
    palette,
    transparency,
    codeBits,
    dataOffset: cursor.at,
  };
}

/** Moves to the first image descriptor, noting a transparent index on the way. */
function findFrame(cursor: Cursor): { descriptor: Uint8Array; transparency: number | undefined } {
  let transparency: number | undefined;
  for (;;) {
    const kind = cursor.take(1)[0];
    if (kind === undefined || kind === 0x3b) throw undecodable('the GIF has no frame');
    if (kind === 0x2c) return { descriptor: cursor.take(9), transparency };
    if (kind !== 0x21) continue;
    const label = cursor.take(1)[0];
    let block = cursor.block();
    if (label === undefined) throw undecodable('the GIF ends in an extension');
    if (label === 0xf9 && block) {
      if (block.length < 3 || (block[0]! & 1 && block.length < 4)) {
        throw undecodable("the GIF's graphic control extension is cut short");
      }
      if (block[0]! & 1) transparency = block[3]!;
    } else if (label === 0xfe && !block) {
      continue;
    } else if (label === 0xff && block && has(block, 0, 'NETSCAPE2.0')) {
      // Pillow reads the loop count here; where it is missing, that takes the terminator away.
      cursor.block();
    }
    do block = cursor.block();
    while (block);
  }
}
