/** `--fit visual`: the picture as a viewer shows it. EXIF 2.32, tag 0x0112, for the eight orientations. */

import type { Pixels, RawPixels } from './types.ts';

/** Lays transparency on white, then turns the picture upright. `raw` may be changed in place. */
export function toVisual(raw: RawPixels, orientation: number | undefined): Pixels {
  const { width, height, data, alpha } = raw;
  if (alpha) onWhite(data, alpha);
  return orientation === undefined || orientation === 1 ? { width, height, data } : turn(raw, orientation);
}

function onWhite(data: Uint8Array, alpha: Uint8Array): void {
  for (let i = 0, p = 0; i < alpha.length; i++, p += 3) {
    const a = alpha[i]!;
    if (a === 255) continue;
    const white = 255 * (255 - a);
    for (let c = p; c < p + 3; c++) data[c] = Math.round((data[c]! * a + white) / 255);
  }
}

function turn(src: Pixels, orientation: number): Pixels {
  const { width, height } = src;
  const swaps = orientation >= 5;
  const [outWidth, outHeight] = swaps ? [height, width] : [width, height];
  const data = new Uint8Array(src.data.length);
  // Where output column 0, row 0 lies in the source, and the steps right and down from there.
  const flipX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const flipY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  const stepX = flipX ? -1 : 1;
  const stepY = flipY ? -width : width;
  const origin = (flipX ? width - 1 : 0) + (flipY ? (height - 1) * width : 0);
  const [right, down] = swaps ? [stepY, stepX] : [stepX, stepY];
  for (let y = 0, out = 0; y < outHeight; y++) {
    for (let x = 0, at = origin + y * down; x < outWidth; x++, at += right, out += 3) {
      data[out] = src.data[at * 3]!;
      data[out + 1] = src.data[at * 3 + 1]!;
      data[out + 2] = src.data[at * 3 + 2]!;
    }
  }
  return { width: outWidth, height: outHeight, data };
}
