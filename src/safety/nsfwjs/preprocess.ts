/**
 * NSFWJS's own way from pixels to the network's input: divided by 255, then TensorFlow's bilinear resize with aligned
 * corners to 224 × 224, whatever the shape. No antialiasing: of a large picture most pixels are not looked at.
 * Source of the rules: nsfwjs 4.4.0 `infer`, and TensorFlow.js 4.22 `ResizeBilinear` of its CPU backend, whose
 * arithmetic (float32 values, float64 between) this is.
 */
import type { Pixels } from '../../image/types.ts';
import { NSFWJS_SIDE as SIDE } from './architecture.ts';

const PLANE = SIDE * SIDE;
/** Floats one picture takes: `[3, 224, 224]`. */
export const NSFWJS_INPUT = 3 * PLANE;

const UNIT = Float32Array.from({ length: 256 }, (_, v) => v / 255);

/** Where the outputs along one axis read: two inputs (offsets in bytes) and how far towards the second. */
interface Taps {
  low: Int32Array;
  high: Int32Array;
  share: Float64Array;
}

function taps(size: number, stride: number): Taps {
  const low = new Int32Array(SIDE);
  const high = new Int32Array(SIDE);
  const share = new Float64Array(SIDE);
  const ratio = (size - 1) / (SIDE - 1);
  for (let i = 0; i < SIDE; i++) {
    const at = ratio * i;
    const floor = Math.floor(at);
    low[i] = floor * stride;
    high[i] = Math.min(size - 1, Math.ceil(at)) * stride;
    share[i] = at - floor;
  }
  return { low, high, share };
}

/** Writes a picture's input, planes R, G, B of 0–1, into `out` at `offset`. */
export function nsfwjsInput({ width, height, data }: Pixels, out: Float32Array, offset = 0): void {
  const x = taps(width, 3);
  const y = taps(height, width * 3);
  let at = offset;
  for (let row = 0; row < SIDE; row++) {
    const top = y.low[row];
    const bottom = y.high[row];
    const down = y.share[row];
    for (let column = 0; column < SIDE; column++, at++) {
      const left = x.low[column];
      const right = x.high[column];
      const along = x.share[column];
      for (let c = 0; c < 3; c++) {
        const a = UNIT[data[top + left + c]];
        const b = UNIT[data[bottom + left + c]];
        const above = a + (UNIT[data[top + right + c]] - a) * along;
        const below = b + (UNIT[data[bottom + right + c]] - b) * along;
        out[at + c * PLANE] = above + (below - above) * down;
      }
    }
  }
}
