/** From scores to probabilities, on rows that the scores were not learned from. */
import { interpolate, sigmoid } from '../math/rows.ts';
import { lbfgs } from './lbfgs.ts';

/**
 * Platt's calibration: `sigmoid(a · logit + b)` by maximum likelihood, with his targets instead of 0 and 1, which keep
 * a perfect separation from becoming a step (Platt 1999; Lin, Lin and Weng 2007). `a` is 0 or more, as isotonic
 * regression is monotone: scores that rank worse than chance are not turned round, for what is then measured would be
 * the calibration's guess and not the head. They say nothing, and the answer is the share of positives.
 */
export async function fitPlatt(logits: Float64Array, labels: Int32Array): Promise<{ a: number; b: number }> {
  const positives = labels.reduce((sum, label) => sum + (label === 1 ? 1 : 0), 0);
  const negatives = labels.length - positives;
  const [high, low] = [(positives + 1) / (positives + 2), 1 / (negatives + 2)];
  const scale = Math.max(
    1e-12,
    logits.reduce((top, z) => Math.max(top, Math.abs(z)), 0),
  );
  const { x } = await lbfgs(
    (at, gradient) => {
      let loss = 0;
      gradient.fill(0);
      for (let i = 0; i < logits.length; i++) {
        const s = logits[i] / scale;
        const z = at[0] * s + at[1];
        const target = labels[i] === 1 ? high : low;
        loss += Math.max(z, 0) - target * z + Math.log1p(Math.exp(-Math.abs(z)));
        const error = sigmoid(z) - target;
        gradient[0] += error * s;
        gradient[1] += error;
      }
      return loss;
    },
    Float64Array.of(scale, 0),
    { tolerance: 1e-8 * logits.length },
  );
  if (x[0] >= 0) return { a: x[0] / scale, b: x[1] };
  // The optimum of `b` where `a` is 0: all rows get the mean of the targets.
  const mean = (positives * high + negatives * low) / labels.length;
  return { a: 0, b: Math.log(mean / (1 - mean)) };
}

/** Points of a monotone step function as lines between them; `x` ascends. */
export interface Isotonic {
  x: Float64Array;
  y: Float64Array;
}

/** Isotonic regression by pooling adjacent violators; ties are one point. */
export function fitIsotonic(scores: Float64Array, labels: Int32Array): Isotonic {
  const order = Int32Array.from(scores.keys()).sort((a, b) => scores[a] - scores[b]);
  const blocks: { from: number; to: number; sum: number; count: number }[] = [];
  for (let start = 0; start < order.length; ) {
    const score = scores[order[start]];
    let block = { from: score, to: score, sum: 0, count: 0 };
    for (; start < order.length && scores[order[start]] === score; start++) {
      block.sum += labels[order[start]] === 1 ? 1 : 0;
      block.count++;
    }
    for (let last = blocks.at(-1); last !== undefined; last = blocks.at(-1)) {
      if (last.sum / last.count < block.sum / block.count) break;
      blocks.pop();
      block = { ...block, from: last.from, sum: last.sum + block.sum, count: last.count + block.count };
    }
    blocks.push(block);
  }
  const x: number[] = [];
  const y: number[] = [];
  for (const { from, to, sum, count } of blocks) {
    for (const at of from === to ? [from] : [from, to]) {
      x.push(at);
      y.push(sum / count);
    }
  }
  return { x: Float64Array.from(x), y: Float64Array.from(y) };
}

export function applyIsotonic({ x, y }: Isotonic, score: number): number {
  return interpolate(x, y, score);
}
