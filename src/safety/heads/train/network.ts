/**
 * The two shapes that are trained: a linear head, and one with a hidden layer of ReLUs. Both end in one logit for two
 * classes and in one per class for more. The loss is scikit-learn's: the sum of the rows' weighted cross-entropies
 * plus l2/2 times the squared weights, biases left out; l2 is its 1/C.
 */
import type { Layer } from '../layers.ts';
import type { Labelled } from './data.ts';
import type { Random } from './random.ts';

export interface Shape {
  dim: number;
  /** Units of the hidden layer; 0 for a linear head. */
  hidden: number;
  /** 1 for two classes, else the number of classes. */
  outputs: number;
}

export function shapeOf(data: Labelled, hidden: number): Shape {
  const classes = data.classes.length;
  return { dim: data.dim, hidden, outputs: classes === 2 ? 1 : classes };
}

/** Places of the parameters in one vector: `[w1 [dim, hidden], b1,] w2 [last, outputs], b2`. */
function places({ dim, hidden, outputs }: Shape) {
  const first = hidden === 0 ? 0 : dim * hidden;
  const last = hidden === 0 ? dim : hidden;
  const second = first + hidden;
  return {
    firstBias: first,
    second,
    secondBias: second + last * outputs,
    size: second + (last + 1) * outputs,
    last,
  };
}

export function parameterCount(shape: Shape): number {
  return places(shape).size;
}

/** Zeros for a linear head, whose loss is convex; He's uniform for the other. */
export function startAt(shape: Shape, random: Random): Float64Array {
  const { firstBias, second, secondBias, size, last } = places(shape);
  const start = new Float64Array(size);
  if (shape.hidden === 0) return start;
  const fill = (from: number, to: number, inputs: number): void => {
    const bound = Math.sqrt(6 / inputs);
    for (let i = from; i < to; i++) start[i] = bound * (2 * random.next() - 1);
  };
  fill(0, firstBias, shape.dim);
  fill(second, secondBias, last);
  return start;
}

/** Logits of rows `[from, to)` in the order of `order`, `[count, outputs]`; hidden values are kept for the gradient. */
export function forward(
  shape: Shape,
  x: Float64Array,
  data: Labelled,
  order: Int32Array,
  hiddenValues?: Float64Array,
): Float64Array {
  const { dim, hidden, outputs } = shape;
  const { firstBias, second, secondBias, last } = places(shape);
  const logits = new Float64Array(order.length * outputs);
  const kept = hiddenValues ?? new Float64Array(order.length * hidden);
  for (let i = 0; i < order.length; i++) {
    const row = order[i] * dim;
    if (hidden > 0) {
      const h = kept.subarray(i * hidden, (i + 1) * hidden);
      h.set(x.subarray(firstBias, second));
      for (let k = 0; k < dim; k++) {
        const value = data.embeddings[row + k];
        const w = k * hidden;
        for (let j = 0; j < hidden; j++) h[j] += value * x[w + j];
      }
      for (let j = 0; j < hidden; j++) if (h[j] < 0) h[j] = 0;
    }
    const at = i * outputs;
    if (outputs === 1 && hidden === 0) {
      let sum = x[secondBias];
      for (let k = 0; k < dim; k++) sum += data.embeddings[row + k] * x[k];
      logits[at] = sum;
      continue;
    }
    for (let o = 0; o < outputs; o++) logits[at + o] = x[secondBias + o];
    for (let k = 0; k < last; k++) {
      const value = hidden > 0 ? kept[i * hidden + k] : data.embeddings[row + k];
      if (value === 0) continue;
      const w = second + k * outputs;
      for (let o = 0; o < outputs; o++) logits[at + o] += value * x[w + o];
    }
  }
  return logits;
}

/**
 * The loss over the rows of `order`, and its gradient. `l2` is for all the rows; a part of them takes that share, so
 * that the mean over parts is the whole.
 */
export function lossAndGradient(
  shape: Shape,
  x: Float64Array,
  gradient: Float64Array,
  data: Labelled,
  order: Int32Array,
  weights: Float64Array,
  l2: number,
): number {
  const { dim, hidden, outputs } = shape;
  const { firstBias, second, secondBias, last } = places(shape);
  const hiddenValues = new Float64Array(order.length * hidden);
  const errors = forward(shape, x, data, order, hiddenValues);
  let loss = errorsInPlace(errors, outputs, data, order, weights);
  gradient.fill(0);
  for (let i = 0; i < order.length; i++) {
    const row = order[i] * dim;
    const at = i * outputs;
    if (outputs === 1 && hidden === 0) {
      const error = errors[at];
      gradient[secondBias] += error;
      for (let k = 0; k < dim; k++) gradient[k] += error * data.embeddings[row + k];
      continue;
    }
    for (let o = 0; o < outputs; o++) gradient[secondBias + o] += errors[at + o];
    for (let k = 0; k < last; k++) {
      const value = hidden > 0 ? hiddenValues[i * hidden + k] : data.embeddings[row + k];
      if (value === 0) continue;
      let back = 0;
      const w = second + k * outputs;
      for (let o = 0; o < outputs; o++) {
        gradient[w + o] += errors[at + o] * value;
        back += errors[at + o] * x[w + o];
      }
      // The hidden value's place now holds its error; where ReLU cut, none comes back.
      if (hidden > 0) hiddenValues[i * hidden + k] = back;
    }
    if (hidden === 0) continue;
    const h = hiddenValues.subarray(i * hidden, (i + 1) * hidden);
    for (let j = 0; j < hidden; j++) gradient[firstBias + j] += h[j];
    for (let k = 0; k < dim; k++) {
      const value = data.embeddings[row + k];
      const w = k * hidden;
      for (let j = 0; j < hidden; j++) gradient[w + j] += value * h[j];
    }
  }
  const share = l2 * (order.length / data.rows);
  const penalise = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      loss += 0.5 * share * x[i] * x[i];
      gradient[i] += share * x[i];
    }
  };
  penalise(0, firstBias);
  penalise(second, secondBias);
  return loss;
}

/** Turns logits into errors (probability minus truth, weighted) and sums the cross-entropy. */
function errorsInPlace(
  logits: Float64Array,
  outputs: number,
  data: Labelled,
  order: Int32Array,
  weights: Float64Array,
): number {
  let loss = 0;
  for (let i = 0; i < order.length; i++) {
    const label = data.labels[order[i]];
    const weight = weights[order[i]];
    const at = i * outputs;
    if (outputs === 1) {
      const z = logits[at];
      const e = Math.exp(-Math.abs(z));
      loss += weight * (Math.max(z, 0) - label * z + Math.log1p(e));
      const p = z >= 0 ? 1 / (1 + e) : e / (1 + e);
      logits[at] = weight * (p - label);
      continue;
    }
    let top = Number.NEGATIVE_INFINITY;
    for (let o = 0; o < outputs; o++) top = Math.max(top, logits[at + o]);
    let sum = 0;
    for (let o = 0; o < outputs; o++) sum += Math.exp(logits[at + o] - top);
    const logSum = top + Math.log(sum);
    loss += weight * (logSum - logits[at + label]);
    for (let o = 0; o < outputs; o++) {
      const p = Math.exp(logits[at + o] - logSum);
      logits[at + o] = weight * (p - (o === label ? 1 : 0));
    }
  }
  return loss;
}

/** The trained parameters as layers; Platt's `a · logit + b` goes into the last one. */
export function toLayers(shape: Shape, x: Float64Array, platt = { a: 1, b: 0 }): Layer[] {
  const { dim, hidden, outputs } = shape;
  const { firstBias, second, secondBias, size, last } = places(shape);
  const floats = (from: number, to: number) => Float32Array.from(x.subarray(from, to));
  const final: Layer = {
    type: 'dense',
    inputs: last,
    outputs,
    weight: Float32Array.from(x.subarray(second, secondBias), (w) => platt.a * w),
    bias: Float32Array.from(x.subarray(secondBias, size), (b) => platt.a * b + platt.b),
    activation: outputs === 1 ? 'sigmoid' : 'softmax',
  };
  if (hidden === 0) return [final];
  const first: Layer = {
    type: 'dense',
    inputs: dim,
    outputs: hidden,
    weight: floats(0, firstBias),
    bias: floats(firstBias, second),
    activation: 'relu',
  };
  return [first, final];
}
