/**
 * The table of token embeddings outside of its graph, in half floats. It is most of a text tower in 8 bits, only rows of it
 * are ever read, and in 8 bits itself it would move scores further than all the matrices together.
 */
import { ModelError } from '../../errors.ts';

/** IEEE 754 binary16 of each value, the nearest one. Throws `ModelError` naming `tensor` for values out of its range. */
export function halfFloats(values: Float32Array, tensor: string): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const half = toHalf(words[i], Math.abs(values[i]));
    if (half >= INFINITE) {
      throw new ModelError(`the tensor holds ${values[i]}, which no half float does`, { tensor });
    }
    halves[i] = ((words[i] >>> 16) & 0x8000) | half;
  }
  return halves;
}

/** All exponent bits set. */
const INFINITE = 0x7c00;

function toHalf(word: number, absolute: number): number {
  const exponent = ((word >>> 23) & 255) - 112;
  if (exponent >= 31) return INFINITE;
  if (exponent <= 0) return evenly(absolute * 2 ** 24);
  const half = (exponent << 10) | ((word >>> 13) & 1023);
  const rest = word & 0x1fff;
  return rest > 0x1000 || (rest === 0x1000 && half % 2 === 1) ? half + 1 : half;
}

/** Rounded, halves to the even neighbour. */
function evenly(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** Rows `ids` of a table of half floats `[vocabulary, width]`, as float32 `[ids.length, width]`. */
export function halfRows(table: Uint16Array, width: number, ids: Int32Array): Float32Array {
  const out = new Float32Array(ids.length * width);
  for (let i = 0; i < ids.length; i++) {
    const from = ids[i] * width;
    for (let j = 0; j < width; j++) out[i * width + j] = fromHalf(table[from + j]);
  }
  return out;
}

function fromHalf(half: number): number {
  const exponent = (half >> 10) & 31;
  const sign = half & 0x8000 ? -1 : 1;
  const fraction = half & 1023;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
