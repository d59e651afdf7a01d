/** One unfiltered PNG row to RGB, for each colour type and depth, as Pillow unpacks and converts it. */

import type { PngHeader } from './types.ts';

/**
 * Paints `width` pixels of `line` into `rgb` (3 bytes a pixel) and `alpha` (1, where given), beginning at
 * pixel index `at` and going on by `step` pixels.
 */
export type RowPainter = (
  line: Uint8Array,
  width: number,
  rgb: Uint8Array,
  alpha: Uint8Array | undefined,
  at: number,
  step: number,
) => void;

/** `key` is the transparent colour of a grey or RGB picture, in the file's own depth. */
export function rowPainter(header: PngHeader, key: number[] | undefined): RowPainter {
  const { colorType, bitDepth } = header;
  if (colorType === 3) return palettePainter(header);
  if (bitDepth < 8) return smallGreyPainter(bitDepth, key?.[0]);
  if (bitDepth === 8)
    return colorType === 0 || colorType === 4 ? greyPainter(colorType, key?.[0]) : rgbPainter(colorType, key);
  return deepPainter(colorType, key);
}

/** 256 RGB colours: black, the file's palette over its beginning. Pillow leaves indices past it black. */
export function fullPalette(palette: Uint8Array | undefined): Uint8Array {
  const full = new Uint8Array(768);
  if (palette) full.set(palette.subarray(0, Math.min(768, palette.length - (palette.length % 3))));
  return full;
}

function palettePainter(header: PngHeader): RowPainter {
  const { bitDepth, transparency } = header;
  const colours = fullPalette(header.palette);
  const mask = (1 << bitDepth) - 1;
  const perByte = 8 / bitDepth;
  return (line, width, rgb, alpha, at, step) => {
    for (let x = 0; x < width; x++, at += step) {
      const shift = 8 - bitDepth * ((x % perByte) + 1);
      const index = (line[(x / perByte) | 0]! >> shift) & mask;
      rgb[at * 3] = colours[index * 3]!;
      rgb[at * 3 + 1] = colours[index * 3 + 1]!;
      rgb[at * 3 + 2] = colours[index * 3 + 2]!;
      if (alpha) alpha[at] = transparency?.[index] ?? 255;
    }
  };
}

function smallGreyPainter(bitDepth: number, key: number | undefined): RowPainter {
  const mask = (1 << bitDepth) - 1;
  const perByte = 8 / bitDepth;
  const scale = 255 / mask;
  return (line, width, rgb, alpha, at, step) => {
    for (let x = 0; x < width; x++, at += step) {
      const shift = 8 - bitDepth * ((x % perByte) + 1);
      const level = (line[(x / perByte) | 0]! >> shift) & mask;
      rgb.fill(level * scale, at * 3, at * 3 + 3);
      if (alpha) alpha[at] = level === key ? 0 : 255;
    }
  };
}

function greyPainter(colorType: 0 | 4, key: number | undefined): RowPainter {
  const bytes = colorType === 4 ? 2 : 1;
  return (line, width, rgb, alpha, at, step) => {
    for (let x = 0, p = 0; x < width; x++, p += bytes, at += step) {
      const level = line[p]!;
      rgb[at * 3] = level;
      rgb[at * 3 + 1] = level;
      rgb[at * 3 + 2] = level;
      if (alpha) alpha[at] = bytes === 2 ? line[p + 1]! : level === key ? 0 : 255;
    }
  };
}

function rgbPainter(colorType: 2 | 6, key: number[] | undefined): RowPainter {
  const bytes = colorType === 6 ? 4 : 3;
  return (line, width, rgb, alpha, at, step) => {
    if (bytes === 3 && step === 1 && !alpha) {
      rgb.set(line, at * 3);
      return;
    }
    for (let x = 0, p = 0; x < width; x++, p += bytes, at += step) {
      rgb[at * 3] = line[p]!;
      rgb[at * 3 + 1] = line[p + 1]!;
      rgb[at * 3 + 2] = line[p + 2]!;
      if (alpha) {
        const isKey = key && line[p] === key[0] && line[p + 1] === key[1] && line[p + 2] === key[2];
        alpha[at] = bytes === 4 ? line[p + 3]! : isKey ? 0 : 255;
      }
    }
  };
}

/**
 * 16 bits a sample. Plain grey is Pillow's mode `I;16`, whose conversion clips at 255 and does not scale; the
 * others keep the high byte.
 */
function deepPainter(colorType: PngHeader['colorType'], key: number[] | undefined): RowPainter {
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colorType];
  const colours = samples >= 3 ? 3 : 1;
  return (line, width, rgb, alpha, at, step) => {
    for (let x = 0, p = 0; x < width; x++, p += samples * 2, at += step) {
      for (let channel = 0; channel < 3; channel++) {
        const q = colours === 3 ? p + channel * 2 : p;
        const high = line[q]!;
        rgb[at * 3 + channel] = colorType === 0 ? (high === 0 ? line[q + 1]! : 255) : high;
      }
      if (!alpha) continue;
      if (samples === 2 || samples === 4) alpha[at] = line[p + samples * 2 - 2]!;
      else {
        const isKey = key?.every((value, i) => value === line[p + i * 2]! * 256 + line[p + i * 2 + 1]!);
        alpha[at] = isKey ? 0 : 255;
      }
    }
  };
}
