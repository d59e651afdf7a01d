/**
 * open_clip's evaluation transform: resize, centre crop, to float, normalise.
 *
 * Source of the rules: open_clip 3.3.0 `transform.py` (`image_transform`), torchvision 0.29.2 `Resize`,
 * `CenterCrop`, `ToTensor`, `Normalize`.
 */

import { SampleError } from '../errors.ts';
import type { PreprocessConfig } from './preprocess-config.ts';
import { type Crop, resizeCrop } from './resize.ts';
import type { Pixels } from './types.ts';

/** The size the whole picture is resized to, and where the input square lies on it. */
export interface Geometry {
  /** Size of the resized picture. */
  width: number;
  height: number;
  /** The part of it that is used. */
  crop: Crop;
  /** Where that part goes in the output; not 0 only where the output is padded. */
  padLeft: number;
  padTop: number;
}

/** Python's `round`: halves go to the even neighbour. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

function resizedSize(
  width: number,
  height: number,
  config: PreprocessConfig,
): [width: number, height: number] {
  const { width: targetW, height: targetH } = config;
  if (config.resizeMode === 'squash') return [targetW, targetH];
  if (config.resizeMode === 'shortest' && targetW === targetH) {
    // torchvision's Resize with one number: the long side is cut off, not rounded.
    return width <= height
      ? [targetW, Math.trunc((targetW * height) / width)]
      : [Math.trunc((targetW * width) / height), targetW];
  }
  // open_clip's ResizeKeepRatio.
  const ratioH = height / targetH;
  const ratioW = width / targetW;
  const ratio = config.resizeMode === 'longest' ? Math.max(ratioH, ratioW) : Math.min(ratioH, ratioW);
  return [roundHalfEven(width / ratio), roundHalfEven(height / ratio)];
}

/** One axis of centre crop or pad: where the crop starts on the resized picture, its length, the padding before it. */
function centre(size: number, target: number): { from: number; length: number; pad: number } {
  if (size >= target) return { from: roundHalfEven((size - target) / 2), length: target, pad: 0 };
  return { from: 0, length: size, pad: Math.floor((target - size) / 2) };
}

/** Where the pixels of the model's input lie. Throws `SampleError` where a side would be resized to nothing. */
export function geometry(width: number, height: number, config: PreprocessConfig): Geometry {
  const [resizedW, resizedH] = resizedSize(width, height, config);
  if (resizedW < 1 || resizedH < 1) {
    throw new SampleError(
      'undecodable_image',
      `a ${width}×${height} picture would be resized to ${resizedW}×${resizedH}`,
    );
  }
  const x = centre(resizedW, config.width);
  const y = centre(resizedH, config.height);
  return {
    width: resizedW,
    height: resizedH,
    crop: { left: x.from, top: y.from, width: x.length, height: y.length },
    padLeft: x.pad,
    padTop: y.pad,
  };
}

/**
 * The model's input as 8-bit RGB, `config.height * config.width * 3` bytes: everything but the change to
 * float.
 */
export function preprocessBytes(pixels: Pixels, config: PreprocessConfig): Uint8Array {
  const { width, height } = pixels.original ?? pixels;
  const g = geometry(width, height, config);
  // open_clip builds ResizeKeepRatio for non-square targets without its interpolation, so bicubic it is.
  const keepsDefault = config.resizeMode === 'shortest' && config.width !== config.height;
  const filter = keepsDefault ? 'bicubic' : config.interpolation;
  const part = resizeCrop(pixels, g.width, g.height, filter, g.crop);
  if (g.crop.width === config.width && g.crop.height === config.height) return part;
  // Only `longest` honours the fill colour; torchvision's CenterCrop pads with 0.
  const out = new Uint8Array(config.width * config.height * 3);
  if (config.resizeMode === 'longest') out.fill(config.fillColor);
  for (let y = 0; y < g.crop.height; y++) {
    const row = part.subarray(y * g.crop.width * 3, (y + 1) * g.crop.width * 3);
    out.set(row, ((y + g.padTop) * config.width + g.padLeft) * 3);
  }
  return out;
}

/** Number of floats one picture takes: `3 * height * width`. */
export function inputLength(config: PreprocessConfig): number {
  return 3 * config.width * config.height;
}

/**
 * Writes the model's input, float32 `[3, height, width]` (R, G, B planes; `(v / 255 - mean) / std`), into
 * `out` at `offset`. Bit-equal to open_clip on the same pixels.
 */
export function preprocess(pixels: Pixels, config: PreprocessConfig, out: Float32Array, offset = 0): void {
  normalise(preprocessBytes(pixels, config), config, out, offset);
}

/** The second half of `preprocess`: bytes, as `preprocessBytes` gives them, to floats. */
export function normalise(bytes: Uint8Array, config: PreprocessConfig, out: Float32Array, offset = 0): void {
  const plane = config.width * config.height;
  for (let channel = 0; channel < 3; channel++) {
    const table = normaliseTable(config.mean[channel]!, config.std[channel]!);
    const at = offset + channel * plane;
    for (let i = 0, p = channel; i < plane; i++, p += 3) out[at + i] = table[bytes[p]!]!;
  }
}

/** `(v / 255 - mean) / std` for each byte, rounded to float32 after every step as torch does. */
function normaliseTable(mean: number, std: number): Float32Array {
  const table = new Float32Array(256);
  const [m, s] = [Math.fround(mean), Math.fround(std)];
  for (let v = 0; v < 256; v++) {
    table[v] = Math.fround(Math.fround(Math.fround(v / 255) - m) / s);
  }
  return table;
}
