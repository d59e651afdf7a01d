/** What is asked of jobs and what they say. */
import * as z from 'zod';

/** Of a folder in a bucket: no empty steps, none of only dots, none that begins with a dot. */
const FOLDER = /^(?!\.)[\w.+=@-]+(\/(?!\.)[\w.+=@-]+)*$/;

const source = z.string().regex(/^(json|key|json:.{1,200})$/, 'must be json, key or json:FIELD');

export const jobRequest = z
  .strictObject({
    shards: z
      .array(z.string().min(1).max(1024))
      .min(1)
      .optional()
      .describe('Keys of tars in the server’s bucket of shards, or URLs at origins that it allows.'),
    prefix: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .describe('Instead of `shards`: all tars (`.tar`, `.tar.gz`, `.tgz`) whose keys begin with it.'),
    out: z
      .string()
      .max(512)
      .regex(FOLDER, 'must be a path like metadata/pool, without a slash or a dot at a start')
      .describe('Prefix in the server’s bucket of metadata: the folder that `shardsieve select` reads.'),
    model: z.string().min(1).max(200).optional().describe('Name or slug; default the first for jobs.'),
    embeddings: z.boolean().default(true).describe('Write an npz of float16 unit embeddings a shard.'),
    safety: z.array(z.string().min(1).max(100)).max(20).default([]).describe('Safety columns to make.'),
    caption: z
      .string()
      .regex(/^(txt|json:.{1,200})$/, 'must be txt or json:FIELD')
      .default('txt'),
    uid: source.default('json'),
    carry: z
      .array(z.string().regex(/^json:.{1,200}$/, 'must be json:FIELD'))
      .max(50)
      .default([]),
  })
  .refine(
    ({ shards, prefix }) => (shards === undefined) !== (prefix === undefined),
    'names either shards or a prefix',
  )
  .meta({ id: 'JobRequest', examples: [{ prefix: 'pool/', out: 'metadata/pool' }] });
/** As it is sent: what has a default may be left out. */
export type JobAsked = z.input<typeof jobRequest>;
export type JobRequest = z.infer<typeof jobRequest>;

const count = z.int().min(0);

export const jobProgress = z
  .object({
    id: z.string(),
    state: z.enum(['running', 'finished']).describe('Finished: every shard is done or failed.'),
    created: z.string().describe('RFC 3339.'),
    out: z.string(),
    model: z.string().describe('Slug.'),
    shards: z.object({
      total: count,
      done: count.describe('With stats, in the folder.'),
      failed: count,
      working: count,
      waiting: count,
    }),
    accounting: z
      .object({
        seen: count.describe('scored + all of skipped.'),
        scored: count,
        skipped: z.record(z.string(), count).describe('By reason.'),
        truncated: z.array(z.string()).describe('Shards that end early: their rows are what was whole.'),
      })
      .describe('The sum of the stats of the shards that are done.'),
    working: z
      .array(
        z.object({
          shard: z.string(),
          seen: count,
          scored: count,
          bytes: count.optional().describe('Of the shard, behind which everything is done.'),
          size: count,
        }),
      )
      .describe('Shards under way, the first hundred of them.'),
    failed: z.array(
      z.object({
        shard: z.string(),
        problem: z
          .string()
          .describe('As in `unfinished.json`; `stopped`: the Worker was, without saying why.'),
        message: z.string(),
      }),
    ),
  })
  .meta({ id: 'Job' });
export type JobProgress = z.infer<typeof jobProgress>;
