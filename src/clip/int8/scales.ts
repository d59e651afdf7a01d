/**
 * From ranges to scales. Everything here is rounded to few digits on purpose: two machines whose float32 differs in the
 * last bits then nearly always find the same scales, and so the same file and the same scores.
 */
import type { ChannelRange } from './calibrate.ts';

/** How a float becomes an unsigned byte: `round(x / scale) + zero`, cut to 0…255. */
export interface InputScale {
  readonly scale: number;
  readonly zero: number;
}

/** Bits kept behind the leading one: steps of 3%, which cost a twentieth of a bit where a range is rounded up. */
const KEPT_BITS = 5;

/** The least number of few digits that is not below `x > 0`; a float32 too. */
export function coarseUp(x: number): number {
  const step = 2 ** (Math.floor(Math.log2(x)) - KEPT_BITS);
  return Math.fround(Math.ceil(x / step) * step);
}

/** The middle of a range, to an eighth or so of its half. */
function coarseMiddle(min: number, max: number): number {
  const half = (max - min) / 2;
  if (half < TINY) return Math.fround((min + max) / 2);
  const step = 2 ** (Math.floor(Math.log2(half)) - 2);
  return Math.fround(Math.round((min + max) / 2 / step) * step);
}

/** What is smaller than this is taken for zero: scales made of it would be no normal float32. */
const TINY = 1e-30;

/**
 * The scale of a layer's input, one for all of it. Zero is always within the range: the zero point must be a byte.
 * An input that is always zero gets a scale of 1.
 */
export function inputScale({ min, max }: ChannelRange): InputScale {
  const low = min.reduce((a, b) => Math.min(a, b), 0);
  const high = max.reduce((a, b) => Math.max(a, b), 0);
  if (high - low < TINY) return { scale: 1, zero: 0 };
  const scale = coarseUp((high - low) / 255);
  return { scale, zero: Math.min(255, Math.max(0, Math.round(-low / scale))) };
}

/** A change of variables in each channel: what was `x` becomes `(x − shift) / factor`. */
export interface Equaliser {
  readonly shift: Float32Array;
  /** Powers of two, so that nothing is lost by them. */
  readonly factor: Float32Array;
}

/** Factors stay within this: a channel that is nearly always zero is not blown up. */
const MOST = 2 ** 8;

/**
 * Moves what is hard to quantise in a layer's input (channels of very unlike size, or far from zero) into its weights,
 * where each column has a scale of its own: the middle of each channel's range becomes zero, and channels are divided
 * by `√(half range / largest weight)`, as SmoothQuant has it (arXiv 2211.10438, with α = 0.5; the shift is Outlier
 * Suppression+'s, arXiv 2304.09145). Trained towers have channels ten or a hundred times larger than the others.
 *
 * `weightMax`: of each input channel the largest absolute weight that it meets.
 */
export function equalise({ min, max }: ChannelRange, weightMax: Float32Array): Equaliser {
  const width = min.length;
  const shift = new Float32Array(width);
  const logs = new Float64Array(width);
  let sum = 0;
  let live = 0;
  for (let j = 0; j < width; j++) {
    shift[j] = coarseMiddle(min[j], max[j]);
    const half = Math.max(max[j] - shift[j], shift[j] - min[j]);
    if (half < TINY || weightMax[j] < TINY) {
      logs[j] = Number.NaN;
      continue;
    }
    logs[j] = (Math.log2(half) - Math.log2(weightMax[j])) / 2;
    sum += logs[j];
    live++;
  }
  // Only their ratios matter; around 1 no bias or weight leaves float32's comfortable range.
  const middle = live === 0 ? 0 : sum / live;
  const factor = Float32Array.from(logs, (log) =>
    Number.isNaN(log) ? 1 : Math.min(MOST, Math.max(1 / MOST, 2 ** Math.round(log - middle))),
  );
  return { shift, factor };
}

/** The ranges of a layer's input after the change of variables. */
export function equalised({ min, max }: ChannelRange, { shift, factor }: Equaliser): ChannelRange {
  return {
    min: min.map((value, j) => (value - shift[j]) / factor[j]),
    max: max.map((value, j) => (value - shift[j]) / factor[j]),
  };
}
