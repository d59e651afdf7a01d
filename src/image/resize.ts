/**
 * Pillow's antialiased resize of 8-bit RGB, to the last rounding, computed only where a crop needs it.
 *
 * Source of the rules: Pillow 13.0.0, `libImaging/Resample.c`. Two passes; weights in double precision,
 * normalised, then 22-bit fixed point; the result of each pass is rounded and clipped to 8 bits. Because
 * every output pixel of a pass depends only on its own window, leaving out what the crop does not see
 * changes no pixel that it does.
 */

export type Interpolation = 'bicubic' | 'bilinear';

/** 32 bits, less 8 for the result, less 2 for sums below 0 and above 1. */
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/** Half-width of each filter's support at scale 1. */
const SUPPORT: Record<Interpolation, number> = { bicubic: 2, bilinear: 1 };

function weight(filter: Interpolation, distance: number): number {
  const x = Math.abs(distance);
  if (filter === 'bilinear') return x < 1 ? 1 - x : 0;
  // Keys' cubic with a = -0.5; the order of the operations decides the last bit.
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** Windows of output positions `[first, first + count)` along one axis. */
export interface Windows {
  /** First input position of each window. */
  start: Int32Array;
  /** Number of input positions of each window. */
  length: Int32Array;
  /** `stride` fixed-point weights for each window. */
  weights: Int32Array;
  stride: number;
}

function windows(
  inSize: number,
  outSize: number,
  filter: Interpolation,
  first: number,
  count: number,
): Windows {
  // Pillow holds the box in single precision, which matters past 2^24 pixels only.
  const scale = Math.fround(inSize) / outSize;
  const filterScale = Math.max(scale, 1);
  const support = SUPPORT[filter] * filterScale;
  const inverse = 1 / filterScale;
  // A window cannot be longer than its axis, however large the reduction.
  const stride = Math.min(Math.ceil(support) * 2 + 1, inSize);
  const start = new Int32Array(count);
  const length = new Int32Array(count);
  const weights = new Int32Array(count * stride);
  const row = new Float64Array(stride);
  for (let i = 0; i < count; i++) {
    const center = (first + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const size = Math.min(inSize, Math.trunc(center + support + 0.5)) - low;
    let total = 0;
    for (let x = 0; x < size; x++) {
      const w = weight(filter, (x + low - center + 0.5) * inverse);
      row[x] = w;
      total += w;
    }
    for (let x = 0; x < size; x++) {
      const w = total === 0 ? row[x]! : row[x]! / total;
      weights[i * stride + x] = Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION_BITS));
    }
    start[i] = low;
    length[i] = size;
  }
  return { start, length, weights, stride };
}

/** The input positions `[from, to)` that a run of windows reads. Windows move forward, so the ends suffice. */
function span(w: Windows): [from: number, to: number] {
  const last = w.start.length - 1;
  return [w.start[0]!, w.start[last]! + w.length[last]!];
}

/**
 * The two passes of a resize, RGB bytes in and out. Whoever fills it gives the bytes that `plainPasses` gives, so which
 * one is in use shows in the time only.
 */
export interface Passes {
  /** Rows `[y0, y1)` of `src` (row length `srcWidth` pixels), resampled along x into `w.start.length` columns. */
  horizontal(src: Uint8Array, srcWidth: number, y0: number, y1: number, w: Windows): Uint8Array;
  /**
   * Columns `[x0, x1)` of `src`, resampled along y into `w.start.length` rows. `originY` is the image row that
   * the first row of `src` is.
   */
  vertical(
    src: Uint8Array,
    srcWidth: number,
    originY: number,
    x0: number,
    x1: number,
    w: Windows,
  ): Uint8Array;
}

const clip = new Uint8Array(1280);
for (let i = 0; i < clip.length; i++) clip[i] = Math.min(255, Math.max(0, i - 640));

function horizontal(src: Uint8Array, srcWidth: number, y0: number, y1: number, w: Windows): Uint8Array {
  const columns = w.start.length;
  const out = new Uint8Array((y1 - y0) * columns * 3);
  const { start, length, weights, stride } = w;
  let at = 0;
  for (let y = y0; y < y1; y++) {
    const line = y * srcWidth * 3;
    for (let x = 0; x < columns; x++) {
      let r = HALF;
      let g = HALF;
      let b = HALF;
      let p = line + start[x]! * 3;
      const end = x * stride + length[x]!;
      for (let k = x * stride; k < end; k++) {
        const c = weights[k]!;
        r = (r + src[p]! * c) | 0;
        g = (g + src[p + 1]! * c) | 0;
        b = (b + src[p + 2]! * c) | 0;
        p += 3;
      }
      out[at] = clip[(r >> PRECISION_BITS) + 640]!;
      out[at + 1] = clip[(g >> PRECISION_BITS) + 640]!;
      out[at + 2] = clip[(b >> PRECISION_BITS) + 640]!;
      at += 3;
    }
  }
  return out;
}

function vertical(
  src: Uint8Array,
  srcWidth: number,
  originY: number,
  x0: number,
  x1: number,
  w: Windows,
): Uint8Array {
  const rows = w.start.length;
  const bytes = (x1 - x0) * 3;
  const rowBytes = srcWidth * 3;
  const out = new Uint8Array(rows * bytes);
  const sums = new Int32Array(bytes);
  const { start, length, weights, stride } = w;
  for (let y = 0; y < rows; y++) {
    sums.fill(HALF);
    let p = (start[y]! - originY) * rowBytes + x0 * 3;
    let k = y * stride;
    let left = length[y]!;
    // Four input rows at a time: the sums are read and written a quarter as often.
    for (; left >= 4; left -= 4, k += 4, p += 4 * rowBytes) {
      const c0 = weights[k]!;
      const c1 = weights[k + 1]!;
      const c2 = weights[k + 2]!;
      const c3 = weights[k + 3]!;
      const p1 = p + rowBytes;
      const p2 = p1 + rowBytes;
      const p3 = p2 + rowBytes;
      for (let i = 0; i < bytes; i++) {
        const ab = (src[p + i]! * c0 + src[p1 + i]! * c1) | 0;
        const cd = (src[p2 + i]! * c2 + src[p3 + i]! * c3) | 0;
        sums[i] = (sums[i]! + ab + cd) | 0;
      }
    }
    for (; left > 0; left--, k++, p += rowBytes) {
      const c = weights[k]!;
      for (let i = 0; i < bytes; i++) sums[i] = (sums[i]! + src[p + i]! * c) | 0;
    }
    const line = y * bytes;
    for (let i = 0; i < bytes; i++) out[line + i] = clip[(sums[i]! >> PRECISION_BITS) + 640]!;
  }
  return out;
}

/** Runs anywhere; what other passes are compared with. */
export const plainPasses: Passes = { horizontal, vertical };

let quickest = plainPasses;

/** Makes this thread's resizes go through `passes`. Called once by a platform that has quicker ones than plain code. */
export function usePasses(passes: Passes): void {
  quickest = passes;
}

/** What is cut from the resized picture, in its pixels. Must lie inside it. */
export interface Crop {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * The `crop` of `src` resized to `width` × `height`: RGB, `crop.height * crop.width * 3` bytes, equal to
 * Pillow's `im.resize((width, height), filter).crop(...)`.
 */
export function resizeCrop(
  src: { width: number; height: number; data: Uint8Array },
  width: number,
  height: number,
  filter: Interpolation,
  crop: Crop,
  passes: Passes = quickest,
): Uint8Array {
  const needX = width !== src.width;
  const needY = height !== src.height;
  // Pillow 13.0.0 takes the vertical pass first where the height shrinks by more than twice what the width does.
  const shrinkY = src.height - height;
  const verticalFirst = shrinkY > 0 && shrinkY > (src.width - width) * 2;
  const wx = needX ? windows(src.width, width, filter, crop.left, crop.width) : undefined;
  const wy = needY ? windows(src.height, height, filter, crop.top, crop.height) : undefined;
  const [x0, x1] = wx ? span(wx) : [crop.left, crop.left + crop.width];
  const [y0, y1] = wy ? span(wy) : [crop.top, crop.top + crop.height];
  if (!wx && !wy) return cut(src.data, src.width, x0, x1, y0, y1);
  if (!wx) return passes.vertical(src.data, src.width, 0, x0, x1, wy!);
  if (!wy) return passes.horizontal(src.data, src.width, y0, y1, wx);
  if (verticalFirst) {
    const band = passes.vertical(src.data, src.width, 0, x0, x1, wy);
    for (let i = 0; i < wx.start.length; i++) wx.start[i]! -= x0;
    return passes.horizontal(band, x1 - x0, 0, crop.height, wx);
  }
  const band = passes.horizontal(src.data, src.width, y0, y1, wx);
  return passes.vertical(band, crop.width, y0, 0, crop.width, wy);
}

function cut(data: Uint8Array, width: number, x0: number, x1: number, y0: number, y1: number): Uint8Array {
  const bytes = (x1 - x0) * 3;
  const out = new Uint8Array((y1 - y0) * bytes);
  for (let y = y0; y < y1; y++) {
    const from = (y * width + x0) * 3;
    out.set(data.subarray(from, from + bytes), (y - y0) * bytes);
  }
  return out;
}
