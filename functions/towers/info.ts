/** What towers say of themselves, and the check of it where it comes from elsewhere. */
import { z } from 'zod';
import { PRECISIONS } from '../../src/clip/precision.ts';
import type { PreprocessConfig } from '../../src/image/preprocess-config.ts';
import { TOWERS, TOWERS_PROTOCOL } from './protocol.ts';

const size = z.int().min(1).max(10_000_000);

const triple = z.tuple([z.number(), z.number(), z.number()]);

/** How a picture becomes the bytes that are sent. */
const preprocess = z.object({
  width: size,
  height: size,
  mean: triple,
  std: triple,
  interpolation: z.enum(['bicubic', 'bilinear']),
  resizeMode: z.enum(['shortest', 'longest', 'squash']),
  fillColor: z.int().min(0).max(255),
}) satisfies z.ZodType<PreprocessConfig>;

export const towerInfo = z.object({
  protocol: z.literal(TOWERS_PROTOCOL),
  /** For people: `org/name`, a folder's name, `demo`. */
  name: z.string().min(1),
  /** The middle of `clip_<slug>_similarity_score`. */
  slug: z.string().regex(/^[a-z0-9_]+$/),
  preprocess,
  /** Which are here. */
  towers: z.array(z.enum(TOWERS)).min(1),
  dim: size,
  /** Tokens a caption may have. */
  context_length: size,
  /** Token ids are below it. */
  vocab_size: size,
  /** Side of the pictures, pixels. */
  image_size: size,
  logit_scale: z.number().positive(),
  precision: z.enum(PRECISIONS),
  /** The runtime's execution provider. */
  provider: z.string().min(1),
  /** Stands for everything that decides the numbers; both towers of a model have the same. */
  fingerprint: z.string().min(1),
  /** The most that one request may ask for. */
  max_pictures: size,
  max_texts: size,
});
export type TowerInfo = z.infer<typeof towerInfo>;
