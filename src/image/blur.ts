/**
 * Blurs boxes of a picture as img2dataset's `BoundingBoxBlurrer` does (1.40.0, which DataComp pins; its Gaussian was
 * made weaker in 1.47.0, see docs/resharding.md), which follows the face obfuscation of ImageNet
 * (github.com/princetonvisualai/imagenet-face-obfuscation): each box is grown by a tenth of its longer side, the
 * whole picture is blurred by a Gaussian whose sigma is a tenth of the longest side of all boxes, and laid over the
 * picture through a mask of the boxes that is blurred alike, so that there are no edges.
 *
 * Numbers are rounded to float32 where NumPy and OpenCV hold float32, and the end is cut and not rounded to 8 bits,
 * as there. Sums of the convolution are exact here and in float32 there, which moves single pixels by one level.
 */
import type { Pixels, Rect } from './types.ts';

/** How far the Gaussian reaches, in sigmas. */
const REACH = 4;
/** By how much of its longer side a box is grown, and what sigma is of the longest. */
const SHARE = 0.1;

const UNIT = Float32Array.from({ length: 256 }, (_, level) => level / 255);

/** @param boxes `[x0, y0, x1, y1]`, as shares of width and height, finite; what lies outside of the picture is cut off. */
export function blurBoxes(pixels: Pixels, boxes: readonly (readonly number[])[]): Pixels {
  const { width, height } = pixels;
  const sides = boxes.map((box) => scaled(box, width, height));
  const longest = Math.max(0, ...sides.map(longerSide));
  const kernel = gaussian(SHARE * longest);
  const radius = (kernel.length - 1) / 2;
  const masked = sides
    .map((box) => grown(box, width, height))
    .filter(({ x0, y0, x1, y1 }) => x0 < x1 && y0 < y1);
  const data = new Uint8Array(pixels.data.length);
  // Through float32 and back, as every pixel goes there, whether in a box or not.
  for (let i = 0; i < data.length; i++) data[i] = Math.fround(UNIT[pixels.data[i]] * 255);
  for (const window of windows(masked, radius, width, height))
    blurWindow(pixels, data, window, masked, kernel);
  return { width, height, data };
}

function scaled(box: readonly number[], width: number, height: number): Rect {
  const [x0, y0, x1, y1] = box;
  return {
    x0: Math.trunc(x0 * width),
    y0: Math.trunc(y0 * height),
    x1: Math.trunc(x1 * width),
    y1: Math.trunc(y1 * height),
  };
}

function longerSide({ x0, y0, x1, y1 }: Rect): number {
  return Math.max(x1 - x0, y1 - y0);
}

/** The last row and column stay out, as they do there. */
function grown(box: Rect, width: number, height: number): Rect {
  const more = SHARE * longerSide(box);
  const clip = (value: number, size: number) => Math.min(Math.max(Math.trunc(value), 0), size - 1);
  return {
    x0: clip(box.x0 - more, width),
    y0: clip(box.y0 - more, height),
    x1: clip(box.x1 + more, width),
    y1: clip(box.y1 + more, height),
  };
}

/** OpenCV's `getGaussianKernel`, in float32. */
function gaussian(sigma: number): Float32Array {
  const radius = Math.ceil(REACH * sigma);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    radius === 0 ? 1 : Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return Float32Array.from(weights, (weight) => weight / sum);
}

/** Rectangles that hold all that the blurred mask reaches, without overlap: far faces do not make one large one. */
function windows(boxes: readonly Rect[], radius: number, width: number, height: number): Rect[] {
  const merged: Rect[] = [];
  for (const box of boxes) {
    let window = {
      x0: Math.max(0, box.x0 - radius),
      y0: Math.max(0, box.y0 - radius),
      x1: Math.min(width, box.x1 + radius),
      y1: Math.min(height, box.y1 + radius),
    };
    for (let at = merged.findIndex((other) => overlap(other, window)); at >= 0; ) {
      window = around(window, merged[at]);
      merged.splice(at, 1);
      at = merged.findIndex((other) => overlap(other, window));
    }
    merged.push(window);
  }
  return merged;
}

function overlap(a: Rect, b: Rect): boolean {
  return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
}

function around(a: Rect, b: Rect): Rect {
  return {
    x0: Math.min(a.x0, b.x0),
    y0: Math.min(a.y0, b.y0),
    x1: Math.max(a.x1, b.x1),
    y1: Math.max(a.y1, b.y1),
  };
}

function blurWindow(
  pixels: Pixels,
  out: Uint8Array,
  window: Rect,
  boxes: readonly Rect[],
  kernel: Float32Array,
): void {
  const { width, data } = pixels;
  const mask = new Float32Array(width * pixels.height);
  for (const { x0, y0, x1, y1 } of boxes)
    for (let y = y0; y < y1; y++) mask.fill(1, y * width + x0, y * width + x1);
  const share = convolve(pixels, window, kernel, (at) => mask[at]);
  const columns = window.x1 - window.x0;
  for (let channel = 0; channel < 3; channel++) {
    const soft = convolve(pixels, window, kernel, (at) => UNIT[data[3 * at + channel]]);
    for (let y = window.y0; y < window.y1; y++) {
      for (let x = window.x0; x < window.x1; x++) {
        const i = (y - window.y0) * columns + x - window.x0;
        const at = 3 * (y * width + x) + channel;
        const sharp = Math.fround(UNIT[data[at]] * Math.fround(1 - share[i]));
        const mixed = Math.fround(sharp + Math.fround(soft[i] * share[i]));
        out[at] = Math.fround(mixed * 255);
      }
    }
  }
}

/** Both passes of the convolution for the pixels of a window; borders are mirrored without repeating the edge. */
function convolve(
  { width, height }: Pixels,
  { x0, y0, x1, y1 }: Rect,
  kernel: Float32Array,
  valueAt: (pixel: number) => number,
): Float32Array {
  const radius = (kernel.length - 1) / 2;
  const columns = x1 - x0;
  const rows = y1 - y0 + 2 * radius;
  const line = new Float32Array(columns + 2 * radius);
  const across = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = mirrored(y0 - radius + row, height) * width;
    for (let i = 0; i < line.length; i++) line[i] = valueAt(start + mirrored(x0 - radius + i, width));
    for (let x = 0; x < columns; x++) {
      // The kernel is symmetric: half the products.
      const centre = x + radius;
      let sum = kernel[radius] * line[centre];
      for (let k = 1; k <= radius; k++) sum += kernel[radius + k] * (line[centre - k] + line[centre + k]);
      across[row * columns + x] = sum;
    }
  }
  const down = new Float32Array((y1 - y0) * columns);
  const sums = new Float64Array(columns);
  for (let y = 0; y < y1 - y0; y++) {
    const centre = (y + radius) * columns;
    for (let x = 0; x < columns; x++) sums[x] = kernel[radius] * across[centre + x];
    for (let k = 1; k <= radius; k++) {
      const weight = kernel[radius + k];
      const above = centre - k * columns;
      const below = centre + k * columns;
      for (let x = 0; x < columns; x++) sums[x] += weight * (across[above + x] + across[below + x]);
    }
    down.set(sums, y * columns);
  }
  return down;
}

/** OpenCV's `BORDER_REFLECT_101`: `dcb|abcd|cba`. */
function mirrored(at: number, size: number): number {
  if (at >= 0 && at < size) return at;
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const within = ((at % period) + period) % period;
  return within < size ? within : period - within;
}
