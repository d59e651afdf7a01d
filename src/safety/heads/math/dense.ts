/** Matrix products in plain JavaScript: for the edge, for training, and where no runtime is at hand. */
import type { Activation } from '../layers.ts';
import { activateRows } from './rows.ts';

export interface Dense {
  inputs: number;
  outputs: number;
  /** `[inputs, outputs]`, row-major. */
  weight: Float32Array;
  bias?: Float32Array;
  activation: Activation;
}

/**
 * `activation(values · weight + bias)` over `[rows, inputs]`. Sums are kept in float64 and rounded once. Four rows
 * and two outputs at a time: each weight is then read once for four rows, and the eight sums stay in registers.
 */
export function denseRows(layer: Dense, values: Float32Array, rows: number): Float32Array {
  const { inputs, outputs, bias } = layer;
  const weight = transposed(layer);
  const out = new Float32Array(rows * outputs);
  const whole = rows - (rows % 4);
  for (let row = 0; row < whole; row += 4) {
    const x0 = row * inputs;
    const x1 = x0 + inputs;
    const x2 = x1 + inputs;
    const x3 = x2 + inputs;
    for (let o = 0; o < outputs; o++) {
      const w = o * inputs;
      const b = bias === undefined ? 0 : bias[o];
      let s0 = b;
      let s1 = b;
      let s2 = b;
      let s3 = b;
      for (let k = 0; k < inputs; k++) {
        const v = weight[w + k];
        s0 += values[x0 + k] * v;
        s1 += values[x1 + k] * v;
        s2 += values[x2 + k] * v;
        s3 += values[x3 + k] * v;
      }
      out[row * outputs + o] = s0;
      out[(row + 1) * outputs + o] = s1;
      out[(row + 2) * outputs + o] = s2;
      out[(row + 3) * outputs + o] = s3;
    }
  }
  for (let row = whole; row < rows; row++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias === undefined ? 0 : bias[o];
      for (let k = 0; k < inputs; k++) sum += values[row * inputs + k] * weight[o * inputs + k];
      out[row * outputs + o] = sum;
    }
  }
  activateRows(layer.activation, out, rows, outputs);
  return out;
}

const TRANSPOSED = new WeakMap<Float32Array, Float32Array>();

/** The weight as `[outputs, inputs]`, so that the inner loop runs along memory; kept as long as the weight is. */
function transposed({ weight, inputs, outputs }: Dense): Float32Array {
  const known = TRANSPOSED.get(weight);
  if (known !== undefined) return known;
  const turned = new Float32Array(weight.length);
  for (let k = 0; k < inputs; k++)
    for (let o = 0; o < outputs; o++) turned[o * inputs + k] = weight[k * outputs + o];
  TRANSPOSED.set(weight, turned);
  return turned;
}
