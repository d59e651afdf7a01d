/** Channel counts other than three, to RGB as Pillow converts them. */

import type { RawPixels } from './types.ts';

/** Splits 1 (grey), 2 (grey and alpha), 3 or 4 (RGBA) interleaved channels into RGB and alpha. */
export function toRgb(data: Uint8Array, width: number, height: number, channels: number): RawPixels {
  if (channels === 3) return { width, height, data };
  const pixels = width * height;
  const rgb = new Uint8Array(pixels * 3);
  const colours = channels === 4 ? 3 : 1;
  for (let i = 0, p = 0, q = 0; i < pixels; i++, p += 3, q += channels) {
    rgb[p] = data[q]!;
    rgb[p + 1] = data[colours === 3 ? q + 1 : q]!;
    rgb[p + 2] = data[colours === 3 ? q + 2 : q]!;
  }
  if (channels !== 2 && channels !== 4) return { width, height, data: rgb };
  const alpha = new Uint8Array(pixels);
  for (let i = 0, q = channels - 1; i < pixels; i++, q += channels) alpha[i] = data[q]!;
  return { width, height, data: rgb, alpha };
}

/**
 * CMYK (0 = no ink) to RGB by Pillow's rule, `libImaging/Convert.c`: what the key leaves, less the ink's
 * share of it, with the division by 255 in its rounded integer form.
 */
export function cmykToRgb(data: Uint8Array, width: number, height: number): RawPixels {
  const rgb = new Uint8Array(width * height * 3);
  for (let p = 0, q = 0; p < rgb.length; p += 3, q += 4) {
    const rest = 255 - data[q + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[q + c]! * rest + 128;
      rgb[p + c] = rest - (((product >> 8) + product) >> 8);
    }
  }
  return { width, height, data: rgb };
}
