/**
 * AutoKeras' MultiCategoryEncoding. It took some components of the embedding for categories, because its training
 * set had few different values there, and looks them up as text: `tf.strings.as_string` prints the float32 as C's
 * `%f` does, and a table made in training, in the order of frequency, says which number that text becomes. So the
 * number depends on the exact bits: embeddings that went through float16, as the training set did, hit the tables,
 * others mostly miss and get the number of an unknown text.
 */
import type { Lookup } from './layers.ts';

/**
 * The integer number of millionths that `%f` prints for a float32, ties to even as glibc rounds. Exact: 24 bits of
 * mantissa times 10^6 fit in a double. `-0` where the text is `-0.000000`.
 */
export function millionths(value: number): number {
  const scaled = value * 1e6;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  const rounded = up ? floor + 1 : floor;
  return rounded === 0 && (value < 0 || Object.is(value, -0)) ? -0 : rounded;
}

/** The number that a component becomes. */
export function lookUp(lookup: Lookup, value: number): number {
  const key = millionths(value);
  if (Object.is(key, -0) || !Number.isFinite(key)) return lookup.otherwise;
  const { keys } = lookup;
  let low = 0;
  let high = keys.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (keys[middle] === key) return lookup.values[middle];
    if (keys[middle] < key) low = middle + 1;
    else high = middle - 1;
  }
  return lookup.otherwise;
}

/** A copy of `[rows, width]` with the lookups done and NaN elsewhere replaced by 0; `hasNan` false saves looking. */
export function encodeRows(
  lookups: readonly Lookup[],
  values: Float32Array,
  rows: number,
  width: number,
  hasNan = true,
): Float32Array {
  const out = new Float32Array(values);
  if (hasNan) for (let i = 0; i < out.length; i++) if (Number.isNaN(out[i])) out[i] = 0;
  for (const lookup of lookups) {
    for (let row = 0; row < rows; row++) {
      const at = row * width + lookup.column;
      out[at] = lookUp(lookup, values[at]);
    }
  }
  return out;
}
