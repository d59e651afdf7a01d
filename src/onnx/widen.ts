/** Stored floats as float32: exact, whatever the stored type. */
import type { WeightRef } from './graph.ts';

/** The elements of a stored tensor, little-endian. */
export function widen(bytes: Uint8Array, dtype: WeightRef['dtype']): Float32Array<ArrayBuffer> {
  // A view must begin at a multiple of its element; tensors in a file need not.
  const own = bytes.slice();
  if (dtype === 'F32') return new Float32Array(own.buffer, own.byteOffset, own.length / 4);
  const halves = new Uint16Array(own.buffer, own.byteOffset, own.length / 2);
  const out = new Float32Array(halves.length);
  if (dtype === 'BF16') {
    const words = new Uint32Array(out.buffer);
    for (let i = 0; i < halves.length; i++) words[i] = halves[i] * 65_536;
    return out;
  }
  for (let i = 0; i < halves.length; i++) out[i] = fromHalf(halves[i]);
  return out;
}

/** IEEE 754 binary16. */
function fromHalf(half: number): number {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
