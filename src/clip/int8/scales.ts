/**
 * From ranges to scales. Everything here is rounded to few digits on purpose: two machines whose float32 differs in the
 * last bits then nearly always find the same scales, and so the same file and the same scores.
 */
import type { ChannelRange } from './calibrate.ts';

/** How a float becomes an unsigned byte: `round(x / scale) + zero`, cut to 0…255. */
export interface InputScale {
  readonly scale: number;
  readonly zero: number;
  /** For pixels: what each colour's `x` is before that, `(x − shift) / factor`, where nothing else makes it so. */
  readonly colours?: { readonly shift: readonly number[]; readonly factor: readonly number[] };
}

/**
 * Pixels become the very bytes that they were before they were normalised: nothing is lost. `mean` and `std` are the
 * preprocess's, of values from 0 to 1.
 */
export function pixelScale(mean: readonly number[], std: readonly number[]): Required<InputScale> {
  const shift = mean.map((value, c) => Math.fround(-value / std[c]));
  const factor = std.map((value) => Math.fround(1 / (255 * value)));
  return { scale: 1, zero: 0, colours: { shift, factor } };
}

/** One value a colour, spread over a patch's `[3, P, P]`. */
export function spread(colours: readonly number[], width: number): Float32Array {
  return Float32Array.from({ length: width }, (_, j) => colours[Math.floor((3 * j) / width)]);
}

/** Bits kept behind the leading one: steps of 3%, which cost a twentieth of a bit where a range is rounded up. */
const KEPT_BITS = 5;

/** The least number of few digits that is not below `x > 0`; a float32 too. */
export function coarseUp(x: number): number {
  const step = 2 ** (Math.floor(Math.log2(x)) - KEPT_BITS);
  return Math.fround(Math.ceil(x / step) * step);
}

/** The middle of a range, to an eighth or so of its half. */
export function coarseMiddle(min: number, max: number): number {
  const half = (max - min) / 2;
  if (half < TINY) return Math.fround((min + max) / 2);
  const step = 2 ** (Math.floor(Math.log2(half)) - 2);
  return Math.fround(Math.round((min + max) / 2 / step) * step);
}

/** What is smaller than this is taken for zero: scales made of it would be no normal float32. */
export const TINY = 1e-30;

/**
 * What other pictures may have beyond the calibration's, as a share of its range, at each end. A value that is cut costs
 * its sample far more than a wider step costs all of them: on the demo's shards 1 to 3, the least cosine to fp32 is .99973
 * (pictures) and .99951 (captions) without it, .99992 and .99982 with it, and the mean is no worse.
 */
const MARGIN = 0.1;

/**
 * The scale of a layer's input, one for all of it. Zero is always within the range: the zero point must be a byte. An
 * input that is always zero gets a scale of 1. `least`: nothing is ever smaller.
 */
export function inputScale({ min, max }: ChannelRange, least = Number.NEGATIVE_INFINITY): InputScale {
  const low = min.reduce((a, b) => Math.min(a, b), 0);
  const high = max.reduce((a, b) => Math.max(a, b), 0);
  const room = MARGIN * (high - low);
  if (room < TINY) return { scale: 1, zero: 0 };
  const floor = Math.max(low - room, least);
  const scale = coarseUp((high + room - floor) / 255);
  return { scale, zero: Math.min(255, Math.max(0, Math.round(-floor / scale))) };
}
