/**
 * The products without a runtime. Sums run in float64 and are rounded to float32 once, so this is the more exact of
 * the two and what the other is checked against; it is far too slow for a pool.
 */
import type { ExpSums, Matmul, RowBest } from './matmul.ts';
import type { Float32Matrix } from './types.ts';

export const plainMatmul: Matmul = {
  provider: 'plain',
  product: async (a, b) => products(a, b),
  async best(a, b, bias) {
    const c = products(a, b, bias);
    const best: RowBest = { value: new Float32Array(a.rows), index: new Int32Array(a.rows) };
    for (let i = 0; i < a.rows; i++) {
      let at = 0;
      for (let j = 1; j < b.rows; j++) if (c[i * b.rows + j] > c[i * b.rows + at]) at = j;
      best.index[i] = at;
      best.value[i] = c[i * b.rows + at];
    }
    return best;
  },
  async largest(a, b) {
    return byRow(a, b, (largest, value) => Math.max(largest, Math.abs(value)));
  },
  async squares(a, b) {
    return byRow(a, b, (sum, value) => sum + value * value);
  },
  async expSums(a, b, scale) {
    const c = products(a, b).map((value) => value * scale);
    const sums: ExpSums = {
      rowMax: new Float32Array(a.rows).fill(Number.NEGATIVE_INFINITY),
      rowSum: new Float32Array(a.rows),
      columnMax: new Float32Array(b.rows).fill(Number.NEGATIVE_INFINITY),
      columnSum: new Float32Array(b.rows),
    };
    each(a, b, (i, j, at) => {
      sums.rowMax[i] = Math.max(sums.rowMax[i], c[at]);
      sums.columnMax[j] = Math.max(sums.columnMax[j], c[at]);
    });
    each(a, b, (i, j, at) => {
      sums.rowSum[i] += Math.exp(c[at] - sums.rowMax[i]);
      sums.columnSum[j] += Math.exp(c[at] - sums.columnMax[j]);
    });
    return sums;
  },
  async gram(a) {
    const out = new Float32Array(a.dim * a.dim);
    for (let x = 0; x < a.dim; x++) {
      for (let y = 0; y < a.dim; y++) {
        let sum = 0;
        for (let i = 0; i < a.rows; i++) sum += a.data[i * a.dim + x] * a.data[i * a.dim + y];
        out[x * a.dim + y] = sum;
      }
    }
    return out;
  },
  async release() {},
};

function products(a: Float32Matrix, b: Float32Matrix, bias?: Float32Array): Float32Array {
  const out = new Float32Array(a.rows * b.rows);
  each(a, b, (i, j, at) => {
    let sum = bias?.[j] ?? 0;
    for (let k = 0; k < a.dim; k++) sum += a.data[i * a.dim + k] * b.data[j * a.dim + k];
    out[at] = sum;
  });
  return out;
}

function byRow(a: Float32Matrix, b: Float32Matrix, step: (state: number, value: number) => number) {
  const c = products(a, b);
  const out = new Float32Array(a.rows);
  for (let i = 0; i < a.rows; i++) {
    let state = 0;
    for (let j = 0; j < b.rows; j++) state = step(state, c[i * b.rows + j]);
    out[i] = state;
  }
  return out;
}

function each(a: Float32Matrix, b: Float32Matrix, visit: (i: number, j: number, at: number) => void): void {
  for (let i = 0, at = 0; i < a.rows; i++) for (let j = 0; j < b.rows; j++, at++) visit(i, j, at);
}
