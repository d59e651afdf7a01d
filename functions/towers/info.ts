/** What towers say of themselves, and the check of it where it comes from elsewhere. */
import { z } from 'zod';
import { PRECISIONS } from '../../src/clip/precision.ts';

export const TOWERS_PROTOCOL = 1;
export const TOWERS = ['image', 'text'] as const;
export type Tower = (typeof TOWERS)[number];

const size = z.int().min(1).max(10_000_000);

export const towerInfo = z.object({
  protocol: z.literal(TOWERS_PROTOCOL),
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
