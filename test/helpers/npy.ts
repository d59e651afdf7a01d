import { parseNpyHeader } from '../../src/metadata/npy.ts';
import { fixture } from './fixtures.ts';

/** A float32 `.npy` of the fixtures, row-major. */
export function floatMatrix(path: string): { rows: number; dim: number; data: Float32Array<ArrayBuffer> } {
  const bytes = fixture(path);
  const { shape, offset, descr } = parseNpyHeader(bytes, path);
  if (descr !== '<f4') throw new Error(`${path} is ${descr}`);
  return { rows: shape[0], dim: shape[1], data: new Float32Array(bytes.slice(offset).buffer) };
}
