/** open_clip's `preprocess_cfg`: read, checked, and named by a fingerprint. */

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { ModelError } from '../errors.ts';
import type { Interpolation } from './resize.ts';
import type { Fit } from './types.ts';

export interface PreprocessConfig {
  /** The model's input in pixels. */
  width: number;
  height: number;
  /** Of R, G, B, in units of 1 = full intensity. */
  mean: [number, number, number];
  std: [number, number, number];
  interpolation: Interpolation;
  /** Which side is resized to the input: the shortest (then cropped), the longest (then padded), or both. */
  resizeMode: 'shortest' | 'longest' | 'squash';
  /** Grey level 0–255 of the padding of `longest`. */
  fillColor: number;
}

/** open_clip's defaults: OpenAI's mean and standard deviation (open_clip `constants.py`). */
const OPENAI_MEAN: [number, number, number] = [0.48145466, 0.4578275, 0.40821073];
const OPENAI_STD: [number, number, number] = [0.26862954, 0.26130258, 0.27577711];

/** Raised whenever a change of code changes any pixel, so that old and new scores are never mixed. */
const PIXELS_VERSION = 1;

/** Largest input side; open_clip's own models end at 512, and a typing error should not ask for gigabytes. */
const MAX_INPUT_SIDE = 4096;

const KEYS = ['size', 'mode', 'mean', 'std', 'interpolation', 'resize_mode', 'fill_color'];

/**
 * The preprocess of a checkpoint. `raw` is `preprocess_cfg` of `open_clip_config.json` (absent: open_clip's
 * defaults); `imageSize` is the vision tower's `image_size`, which wins over the config's `size`, as in
 * open_clip. Throws `ModelError` naming the key that is unknown or whose value is not implemented.
 */
export function parsePreprocess(raw: unknown, imageSize?: number | [number, number]): PreprocessConfig {
  if (raw !== undefined && raw !== null && (typeof raw !== 'object' || Array.isArray(raw))) {
    throw new ModelError('preprocess_cfg is not an object');
  }
  const cfg: Record<string, unknown> = { ...(raw as Record<string, unknown> | undefined) };
  for (const key of Object.keys(cfg)) {
    if (cfg[key] === null) delete cfg[key];
    else if (!KEYS.includes(key)) throw unsupported(key, cfg[key]);
  }
  if (cfg['mode'] !== undefined && cfg['mode'] !== 'RGB') throw unsupported('mode', cfg['mode']);
  const [height, width] = readSize(imageSize ?? cfg['size'] ?? 224);
  return {
    width,
    height,
    mean: readTriple('mean', cfg['mean'], OPENAI_MEAN),
    std: readTriple('std', cfg['std'], OPENAI_STD),
    interpolation: readInterpolation(cfg['interpolation']),
    resizeMode: readResizeMode(cfg['resize_mode']),
    fillColor: readFill(cfg['fill_color']),
  };
}

/**
 * 16 hex digits over everything that decides the model's input: config, `fit`, the version of this code, and the side
 * that `--fast-decode` keeps where it is in use. Two runs with one fingerprint give the same input for the same file.
 */
export function preprocessFingerprint(
  config: PreprocessConfig,
  fit: Fit = 'open_clip',
  fastDecode?: number,
): string {
  const { width, height, mean, std, interpolation, resizeMode, fillColor } = config;
  const canonical = {
    version: PIXELS_VERSION,
    fit,
    width,
    height,
    mean,
    std,
    interpolation,
    resizeMode,
    fillColor,
    fastDecode,
  };
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(canonical)))).slice(0, 16);
}

function unsupported(key: string, value: unknown): ModelError {
  return new ModelError(`preprocess_cfg.${key} = ${JSON.stringify(value)} is not supported`);
}

/** `[height, width]`, as open_clip writes a pair. */
function readSize(value: unknown): [number, number] {
  const pair = Array.isArray(value) ? (value.length === 1 ? [value[0], value[0]] : value) : [value, value];
  const ok = pair.length === 2 && pair.every((n) => Number.isInteger(n) && n >= 1 && n <= MAX_INPUT_SIDE);
  if (!ok) throw unsupported('size', value);
  return [pair[0], pair[1]];
}

function readTriple(
  key: 'mean' | 'std',
  value: unknown,
  fallback: [number, number, number],
): [number, number, number] {
  // open_clip takes `mean or default`: an empty list or 0 is the default too.
  if (value === undefined || value === 0 || (Array.isArray(value) && value.length === 0)) return fallback;
  const triple = typeof value === 'number' ? [value, value, value] : value;
  const ok =
    Array.isArray(triple) &&
    triple.length === 3 &&
    triple.every((n) => Number.isFinite(n) && (key === 'mean' || Math.fround(n) !== 0));
  if (!ok) throw unsupported(key, value);
  return [triple[0], triple[1], triple[2]];
}

function readInterpolation(value: unknown): Interpolation {
  // `random` is for training; at inference open_clip takes bicubic for it.
  if (value === undefined || value === '' || value === 'bicubic' || value === 'random') return 'bicubic';
  if (value === 'bilinear') return 'bilinear';
  throw unsupported('interpolation', value);
}

function readResizeMode(value: unknown): PreprocessConfig['resizeMode'] {
  if (value === undefined || value === '') return 'shortest';
  if (value === 'shortest' || value === 'longest' || value === 'squash') return value;
  throw unsupported('resize_mode', value);
}

function readFill(value: unknown): number {
  if (value === undefined) return 0;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255) return value;
  throw unsupported('fill_color', value);
}
