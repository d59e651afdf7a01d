/** What happens to rows between and after the matrix products. */
import type { Activation, PromptRange } from '../layers.ts';

/** `1 / (1 + e^−x)`, without overflow on either side. */
export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/** In place. */
export function activateRows(
  activation: Activation,
  values: Float32Array,
  rows: number,
  width: number,
): void {
  if (activation === 'relu') {
    for (let i = 0; i < values.length; i++) if (values[i] < 0) values[i] = 0;
  } else if (activation === 'sigmoid') {
    for (let i = 0; i < values.length; i++) values[i] = sigmoid(values[i]);
  } else if (activation === 'softmax') {
    for (let row = 0; row < rows; row++) softmaxRow(values.subarray(row * width, (row + 1) * width));
  }
}

function softmaxRow(row: Float32Array): void {
  let top = Number.NEGATIVE_INFINITY;
  for (const value of row) top = Math.max(top, value);
  let sum = 0;
  for (const value of row) sum += Math.exp(value - top);
  for (let i = 0; i < row.length; i++) row[i] = Math.exp(row[i] - top) / sum;
}

export interface Normalisation {
  mean: Float32Array;
  scale: Float32Array;
  gamma?: Float32Array;
  beta?: Float32Array;
}

/** `(x − mean) / scale · gamma + beta`, each step rounded to float32 as the libraries do. */
export function normaliseRows(layer: Normalisation, values: Float32Array, rows: number): Float32Array {
  const { mean, scale, gamma, beta } = layer;
  const width = mean.length;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < width; k++) {
      const at = row * width + k;
      out[at] = Math.fround(values[at] - mean[k]) / scale[k];
      if (gamma !== undefined) out[at] *= gamma[k];
      if (beta !== undefined) out[at] += beta[k];
    }
  }
  return out;
}

/**
 * One probability per concept: the softmax over the concept's own prompts and all neutral ones, summed over its own.
 * Concepts do not compete with one another, so a picture can be of two at once.
 */
export function conceptRows(
  layer: { scale: number; concepts: PromptRange[]; neutral: PromptRange },
  cosines: Float32Array,
  rows: number,
  width: number,
): Float32Array {
  const { scale, concepts, neutral } = layer;
  const out = new Float32Array(rows * concepts.length);
  for (let row = 0; row < rows; row++) {
    const at = row * width;
    for (const [c, own] of concepts.entries()) {
      const top = Math.max(largest(cosines, at, own), largest(cosines, at, neutral));
      const inside = sumExp(cosines, at, own, scale, top);
      const outside = sumExp(cosines, at, neutral, scale, top);
      out[row * concepts.length + c] = inside / (inside + outside);
    }
  }
  return out;
}

function largest(values: Float32Array, at: number, { start, end }: PromptRange): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = at + start; i < at + end; i++) top = Math.max(top, values[i]);
  return top;
}

function sumExp(
  values: Float32Array,
  at: number,
  { start, end }: PromptRange,
  scale: number,
  top: number,
): number {
  let sum = 0;
  for (let i = at + start; i < at + end; i++) sum += Math.exp(scale * (values[i] - top));
  return sum;
}

export function argmaxRows(index: number, values: Float32Array, rows: number, width: number): Float32Array {
  const out = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let best = 0;
    for (let k = 1; k < width; k++) if (values[row * width + k] > values[row * width + best]) best = k;
    out[row] = best === index ? 1 : 0;
  }
  return out;
}

export function isotonicRows(x: Float32Array, y: Float32Array, values: Float32Array): Float32Array {
  return values.map((value) => interpolate(x, y, value));
}

/** The line through ascending points, flat beyond its ends. NaN stays NaN. */
export function interpolate(x: ArrayLike<number>, y: ArrayLike<number>, value: number): number {
  const last = x.length - 1;
  if (Number.isNaN(value)) return Number.NaN;
  if (value <= x[0]) return y[0];
  if (value >= x[last]) return y[last];
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] <= value) low = middle;
    else high = middle;
  }
  const share = (value - x[low]) / (x[high] - x[low]);
  return y[low] + share * (y[high] - y[low]);
}
