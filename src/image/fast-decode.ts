/**
 * `--fast-decode`: a large JPEG is decoded at a half, a quarter or an eighth of its size, which libjpeg does in the
 * inverse transform and so without computing most of the pixels. Other pixels than Pillow's, so it is asked for by name
 * and stands in the fingerprint; what it moves is measured in docs/fidelity-images.md.
 */
import type { PreprocessConfig } from './preprocess-config.ts';
import type { ImageHeader } from './types.ts';

/**
 * The shorter side of what is decoded is at least this many times the model's input, so that the exact resize has still
 * something to average. At 1.5 the input of a 224 px model is off by 0.4 to 0.8 levels of 255 on average, at 1 by 1.2 to
 * 2.1; at 2 it is no nearer, and fewer pictures are large enough.
 */
const MARGIN = 1.5;

/**
 * Divisors of a picture's size that sharp 0.35 reaches over libjpeg's 8, 4 and 2, with the least left to resample after
 * it: it reduces in the transform only where more than the next integer is asked for.
 */
const DIVISORS = [9, 5, 3];

/** The shorter side, in pixels, that pictures keep for models of these inputs. */
export function fastDecodeSide(configs: readonly PreprocessConfig[]): number {
  return Math.ceil(MARGIN * Math.max(...configs.map(({ width, height }) => Math.max(width, height))));
}

/**
 * The size at which a picture is decoded so that its shorter side keeps `side` pixels, or undefined where it is decoded
 * in full: another format, a JPEG of a kind that cannot be reduced, or less than three times as large.
 */
export function reducedSize(
  header: ImageHeader,
  side: number,
): { width: number; height: number } | undefined {
  if (header.format !== 'jpeg' || header.components === 4 || !REDUCIBLE.has(header.sof)) return undefined;
  const shorter = Math.min(header.width, header.height);
  const divisor = DIVISORS.find((d) => Math.floor(shorter / d) >= side);
  if (divisor === undefined) return undefined;
  const short = Math.floor(shorter / divisor);
  // Cut and not rounded: neither side may be reduced by less than the divisor.
  const scaled = (length: number) => Math.floor((length * short) / shorter);
  return { width: scaled(header.width), height: scaled(header.height) };
}

/** Baseline, extended and progressive with Huffman codes; not lossless, not arithmetic. */
const REDUCIBLE = new Set([0xc0, 0xc1, 0xc2]);
