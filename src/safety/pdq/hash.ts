/**
 * PDQ, Meta's perceptual hash: 256 bits that stay nearly the same when a picture is scaled, compressed or lightly
 * changed, and a quality that says whether there was enough in the picture to go by.
 *
 * Source of the rules: "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm" (Meta, 2019,
 * hashing.pdf in facebook/ThreatExchange) and the reference's steps there; brightness as PyPI's pdqhash 0.2.8, which
 * python-threatexchange uses, computes it. Every step is rounded to float32 in the reference's order: the bits of a
 * symmetric picture hang on the last rounding, because half of its frequencies are zero but for that.
 */
import type { Pixels } from '../../image/types.ts';

export interface Pdq {
  /** 64 hex digits, lower case. */
  readonly hash: string;
  /** 0–100. Below `MIN_PDQ_QUALITY` a hash should not be compared: there is too little in the picture. */
  readonly quality: number;
}

/** Meta recommends to discard hashes of quality 49 and less (facebook/ThreatExchange, pdq/README.md, "Matching"). */
export const MIN_PDQ_QUALITY = 50;

/** Smaller pictures have no hash: all zeros and quality 0. */
const MIN_SIDE = 5;
/** Side of the small picture that the frequencies are taken of. */
const SMALL = 64;
/** Frequencies along each axis; the constant one is left out. */
const KEPT = 16;
/** Passes of the box filter; two make a tent. */
const PASSES = 2;
/**
 * Pixels that are filtered as they are: 128 MB of floats. Of larger pictures squares of pixels are averaged first; the
 * reference's own tool shrinks all that is over 512 pixels wide or high, by picking pixels.
 */
const MAX_PIXELS = 2 ** 24;

/** Row `i` has the cosine of frequency `i + 1`. */
const COSINES = new Float32Array(KEPT * SMALL);
for (let i = 0; i < KEPT; i++) {
  for (let j = 0; j < SMALL; j++) {
    const angle = (Math.PI / 2 / SMALL) * (i + 1) * (2 * j + 1);
    COSINES[i * SMALL + j] = Math.fround(Math.sqrt(2 / SMALL)) * Math.cos(angle);
  }
}

/** The hash of a picture's RGB pixels. Bit-equal to pdqhash 0.2.8 on the same pixels, up to 16 megapixels. */
export function pdq(pixels: Pixels): Pdq {
  const { width, height } = pixels;
  if (width < MIN_SIDE || height < MIN_SIDE) return { hash: '0'.repeat(64), quality: 0 };
  const small = shrink(luma(pixels));
  return { hash: toHex(frequencies(small)), quality: qualityOf(small) };
}

interface Plane {
  width: number;
  height: number;
  data: Float32Array;
}

/** Brightness, 0–255. */
function luma({ width, height, data }: Pixels): Plane {
  let step = 1;
  while (Math.ceil(width / step) * Math.ceil(height / step) > MAX_PIXELS) step++;
  if (step > 1) return lumaOfSquares({ width, height, data }, step);
  const out = new Float32Array(width * height);
  for (let i = 0, p = 0; i < out.length; i++, p += 3) {
    out[i] = data[p] * 0.299 + data[p + 1] * 0.587 + data[p + 2] * 0.114;
  }
  return { width, height, data: out };
}

function lumaOfSquares({ width, height, data }: Pixels, step: number): Plane {
  const columns = Math.floor(width / step);
  const rows = Math.floor(height / step);
  const out = new Float32Array(columns * rows);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let dy = 0; dy < step; dy++) {
        let p = ((y * step + dy) * width + x * step) * 3;
        for (const end = p + step * 3; p < end; p += 3) {
          sum += data[p] * 0.299 + data[p + 1] * 0.587 + data[p + 2] * 0.114;
        }
      }
      out[y * columns + x] = sum / (step * step);
    }
  }
  return { width: columns, height: rows, data: out };
}

/** Blurs and picks 64 × 64 points. A plane of that size is taken as it is. */
function shrink({ width, height, data }: Plane): Float32Array {
  if (width === SMALL && height === SMALL) return data;
  const other = new Float32Array(data.length);
  for (let pass = 0; pass < PASSES; pass++) {
    boxAlongRows(data, other, width, height, windowSize(width));
    boxAlongColumns(other, data, width, height, windowSize(height));
  }
  const small = new Float32Array(SMALL * SMALL);
  for (let y = 0; y < SMALL; y++) {
    const row = Math.trunc(((y + 0.5) * height) / SMALL) * width;
    for (let x = 0; x < SMALL; x++) {
      small[y * SMALL + x] = data[row + Math.trunc(((x + 0.5) * width) / SMALL)];
    }
  }
  return small;
}

function windowSize(side: number): number {
  return Math.trunc((side + 2 * SMALL - 1) / (2 * SMALL));
}

/**
 * A sliding mean over `size` values, the running sum kept in float32. Windows are cut at both ends; where `size` is
 * even they reach one further to the right.
 */
function boxAlongRows(
  from: Float32Array,
  to: Float32Array,
  width: number,
  height: number,
  size: number,
): void {
  const ahead = Math.trunc((size + 2) / 2) - 1;
  const behind = size - ahead;
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let sum = Math.fround(0);
    let count = 0;
    for (; count < ahead; count++) sum = Math.fround(sum + from[row + count]);
    for (let x = 0; x < width; x++) {
      if (x + ahead < width) {
        sum = Math.fround(sum + from[row + x + ahead]);
        count++;
      }
      if (x >= behind) {
        sum = Math.fround(sum - from[row + x - behind]);
        count--;
      }
      to[row + x] = sum / count;
    }
  }
}

/** The same along columns, all columns of a row at a time: the sums are the same, the memory is read in order. */
function boxAlongColumns(
  from: Float32Array,
  to: Float32Array,
  width: number,
  height: number,
  size: number,
): void {
  const ahead = Math.trunc((size + 2) / 2) - 1;
  const behind = size - ahead;
  const sums = new Float32Array(width);
  let count = 0;
  for (; count < ahead; count++) {
    const row = count * width;
    for (let x = 0; x < width; x++) sums[x] += from[row + x];
  }
  for (let y = 0; y < height; y++) {
    if (y + ahead < height) {
      const row = (y + ahead) * width;
      for (let x = 0; x < width; x++) sums[x] += from[row + x];
      count++;
    }
    if (y >= behind) {
      const row = (y - behind) * width;
      for (let x = 0; x < width; x++) sums[x] -= from[row + x];
      count--;
    }
    const row = y * width;
    for (let x = 0; x < width; x++) to[row + x] = sums[x] / count;
  }
}

/** The cosine transform's 16 × 16 lowest frequencies but the constant ones, `C small Cᵀ`. */
function frequencies(small: Float32Array): Float32Array {
  const half = new Float32Array(KEPT * SMALL);
  for (let i = 0; i < KEPT; i++) {
    for (let j = 0; j < SMALL; j++) {
      let sum = Math.fround(0);
      for (let k = 0; k < SMALL; k++) {
        sum = Math.fround(sum + Math.fround(COSINES[i * SMALL + k] * small[k * SMALL + j]));
      }
      half[i * SMALL + j] = sum;
    }
  }
  const out = new Float32Array(KEPT * KEPT);
  for (let i = 0; i < KEPT; i++) {
    for (let j = 0; j < KEPT; j++) {
      let sum = Math.fround(0);
      for (let k = 0; k < SMALL; k++) {
        sum = Math.fround(sum + Math.fround(half[i * SMALL + k] * COSINES[j * SMALL + k]));
      }
      out[i * KEPT + j] = sum;
    }
  }
  return out;
}

/** How much the small picture changes from point to point, in steps of 1 %, so that noise does not count. */
function qualityOf(small: Float32Array): number {
  let sum = 0;
  const change = (a: number, b: number) =>
    Math.abs(Math.trunc(Math.fround(Math.fround(Math.fround(a - b) * 100) / 255)));
  for (let y = 0; y < SMALL; y++) {
    for (let x = 0; x < SMALL; x++) {
      const at = y * SMALL + x;
      if (y + 1 < SMALL) sum += change(small[at], small[at + SMALL]);
      if (x + 1 < SMALL) sum += change(small[at], small[at + 1]);
    }
  }
  return Math.min(100, Math.trunc(sum / 90));
}

/** A bit for each frequency above the (lower) median; the last frequency is the first bit written. */
function toHex(values: Float32Array): string {
  const median = values.slice().sort()[values.length / 2 - 1];
  let hex = '';
  for (let k = values.length - 4; k >= 0; k -= 4) {
    let digit = 0;
    for (let bit = 0; bit < 4; bit++) if (values[k + bit] > median) digit |= 1 << bit;
    hex += digit.toString(16);
  }
  return hex;
}
