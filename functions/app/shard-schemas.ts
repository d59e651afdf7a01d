/** The lines that `/v1/shards` answers with. */
import * as z from 'zod';
import { SKIP_REASONS } from '../../src/errors.ts';

const key = z.string().meta({ description: 'Of the sample in the tar.' });
const uid = z.string().regex(/^[0-9a-f]{32}$/);
const count = z.int().min(0);

export const sampleLine = z
  .object({
    kind: z.literal('scored'),
    key,
    uid,
    caption: z.string().optional().meta({ description: 'Where captions were asked for.' }),
    width: z
      .int()
      .min(1)
      .meta({ description: 'Pixels: the original size that the JSON says, else the picture’s.' }),
    height: z.int().min(1),
    scores: z.record(z.string(), z.number()).meta({ description: 'Cosine of picture and caption, by slug.' }),
    safety: z
      .record(z.string(), z.union([z.number(), z.string(), z.null()]))
      .optional()
      .meta({
        description: 'The columns that `shardsieve score --safety` writes; null where nothing is known.',
      }),
  })
  .meta({ id: 'ScoredSample' });
export type SampleLine = z.infer<typeof sampleLine>;

export const skippedLine = z
  .object({
    kind: z.literal('skipped'),
    key,
    uid: uid.optional(),
    reason: z.string().meta({ description: 'Why it has no score.', examples: [...SKIP_REASONS] }),
    detail: z.string(),
  })
  .meta({ id: 'SkippedSample' });
export type SkippedLine = z.infer<typeof skippedLine>;

export const endLine = z
  .object({
    kind: z.literal('end'),
    complete: z
      .boolean()
      .meta({ description: 'False: the shard broke off, or scoring it did; see problem.' }),
    seen: count.meta({ description: 'Lines before this one: scored and all of skipped.' }),
    scored: count,
    skipped: z.record(z.string(), count).meta({ description: 'By reason; what did not occur is absent.' }),
    captions_truncated: count.meta({ description: 'Captions longer than a model takes, over all models.' }),
    bytes: count.meta({ description: 'Of the body, as read.' }),
    sha256: z.string().optional().meta({ description: 'Of the body, where all of it was read.' }),
    models: z.array(z.object({ name: z.string(), slug: z.string(), fingerprint: z.string() })),
    problem: z.object({ type: z.string(), status: z.int(), detail: z.string() }).optional(),
  })
  .meta({ id: 'ShardEnd', description: 'The last line.' });
export type EndLine = z.infer<typeof endLine>;

export const shardLine = z
  .discriminatedUnion('kind', [sampleLine, skippedLine, endLine])
  .meta({ id: 'ShardLine' });
