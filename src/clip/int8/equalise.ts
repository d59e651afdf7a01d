/**
 * Moving what is hard to quantise in a layer's input (channels of very unlike size, or far from zero) into its weights,
 * where each column has a scale of its own. Trained towers have channels ten or a hundred times larger than the others.
 *
 * The change of variables is SmoothQuant's (arXiv 2211.10438), the shift Outlier Suppression+'s (arXiv 2304.09145); how
 * much of it is good is decided for each layer by the noise that rounding is expected to make.
 */
import type { ChannelRange, Seen } from './calibrate.ts';
import { coarseMiddle, inputScale, TINY } from './scales.ts';

/** A change of variables in each channel: what was `x` becomes `(x − shift) / factor`. */
export interface Equaliser {
  readonly shift: Float32Array;
  /** Powers of two, so that nothing is lost by them. */
  readonly factor: Float32Array;
}

/** A layer that reads the input: its weight `[out, in]`, and what it saw. */
export interface Reader {
  readonly weight: Float32Array;
  readonly seen: Seen;
}

/** How much of a channel's size moves into the weights: 0 is none of it. */
const STRENGTHS = [0, 0.25, 0.5, 0.75];

/** Factors stay within this: a channel that is nearly always zero is not blown up. */
const MOST = 2 ** 8;

/** The change of variables with the least noise expected, for all that read one input; `undefined` for none at all. */
export function equalise(readers: readonly Reader[]): Equaliser | undefined {
  const range = {
    min: fold(
      readers.map(({ seen }) => seen.min),
      Math.min,
    ),
    max: fold(
      readers.map(({ seen }) => seen.max),
      Math.max,
    ),
  };
  const width = range.min.length;
  const weightMax = fold(
    readers.map(({ weight }) => largestOfColumns(weight, width)),
    Math.max,
  );
  let best: Equaliser | undefined;
  let least = noise(readers, none(width));
  for (const strength of STRENGTHS) {
    const change = changeOf(range, weightMax, strength);
    const found = noise(readers, change);
    if (found < least) [best, least] = [change, found];
  }
  return best;
}

/** The ranges of a layer's input after the change of variables. */
export function equalised({ min, max }: ChannelRange, { shift, factor }: Equaliser): ChannelRange {
  return {
    min: min.map((value, j) => (value - shift[j]) / factor[j]),
    max: max.map((value, j) => (value - shift[j]) / factor[j]),
  };
}

function none(width: number): Equaliser {
  return { shift: new Float32Array(width), factor: new Float32Array(width).fill(1) };
}

/**
 * The middle of each channel's range becomes zero; channels are divided by `half range ^ strength / largest weight ^
 * (1 − strength)`, or by nothing at strength 0.
 */
function changeOf({ min, max }: ChannelRange, weightMax: Float32Array, strength: number): Equaliser {
  const { shift, factor } = none(min.length);
  const logs = new Float64Array(min.length).fill(Number.NaN);
  let sum = 0;
  let live = 0;
  for (let j = 0; j < min.length; j++) {
    shift[j] = coarseMiddle(min[j], max[j]);
    const half = Math.max(max[j] - shift[j], shift[j] - min[j]);
    if (strength === 0 || half < TINY || weightMax[j] < TINY) continue;
    logs[j] = strength * Math.log2(half) - (1 - strength) * Math.log2(weightMax[j]);
    sum += logs[j];
    live++;
  }
  // Only their ratios matter; around 1 no bias or weight leaves float32's comfortable range.
  const middle = sum / Math.max(1, live);
  for (const [j, log] of logs.entries()) {
    if (!Number.isNaN(log)) factor[j] = Math.min(MOST, Math.max(1 / MOST, 2 ** Math.round(log - middle)));
  }
  return { shift, factor };
}

/**
 * The variance that rounding adds to a layer's outputs, summed over them: that of the inputs (a uniform error of one
 * step, through all weights) and that of the weights (each column's step, times the inputs' power).
 */
function noise(readers: readonly Reader[], change: Equaliser): number {
  const { shift, factor } = change;
  let total = 0;
  for (const { weight, seen } of readers) {
    const width = shift.length;
    const { scale } = inputScale(equalised(seen, change));
    let power = 0;
    for (let j = 0; j < width; j++) {
      const moved = seen.squares[j] - 2 * shift[j] * seen.sum[j] + seen.tokens * shift[j] ** 2;
      power += Math.max(0, moved) / factor[j] ** 2;
    }
    power /= seen.tokens;
    let squares = 0;
    let steps = 0;
    for (let start = 0; start < weight.length; start += width) {
      let largest = 0;
      for (let j = 0; j < width; j++) {
        const w = weight[start + j] * factor[j];
        squares += w * w;
        largest = Math.max(largest, Math.abs(w));
      }
      steps += (largest / 127) ** 2;
    }
    total += (scale ** 2 * squares + steps * power) / 12;
  }
  return total;
}

function largestOfColumns(weight: Float32Array, width: number): Float32Array {
  const most = new Float32Array(width);
  for (let start = 0; start < weight.length; start += width) {
    for (let j = 0; j < width; j++) most[j] = Math.max(most[j], Math.abs(weight[start + j]));
  }
  return most;
}

function fold(rows: readonly Float32Array[], pick: (a: number, b: number) => number): Float32Array {
  return rows.reduce((a, b) => a.map((value, j) => pick(value, b[j])));
}
