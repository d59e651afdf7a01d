import { fromFloat16, toFloat16 } from '../metadata/float16.ts';

/** Values as they come back from the npz: heads see the same in the pass that scores and later. */
export function roundToFloat16(values: Float32Array): Float32Array {
  return fromFloat16(toFloat16(values));
}
