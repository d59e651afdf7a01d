import { z } from 'zod';
import { MAX_PDQ_DISTANCE, PDQ_DISTANCE } from '../safety/pdq/index.ts';

/**
 * Filters as data: what a recipe holds, what the command line becomes, and what the types are. A filter is an object
 * of one field, its name. Rows that a filter cannot judge (a caption or a score that is not there) are neither kept
 * nor silently dropped: they are counted as unjudged and kept out.
 */

const positive = z.int().min(1);
const wrongShare = {
  error: ({ input }: { input?: unknown }) => `must be above 0 and at most 1, not ${String(input)}`,
};
const share = z.number(wrongShare).gt(0, wrongShare).max(1, wrongShare);
const number = z.number({ error: ({ input }) => `${String(input)} is not a number` });
const seed = z.int().min(0).default(0).describe('the same seed gives the same rows');
const path = z.string().min(1);

/** `threshold` or `fraction`, and what a fraction is of. */
const bound = {
  threshold: number.optional().describe("keep rows at or above this, compared in the column's own type"),
  fraction: share.optional().describe('keep this share of the rows, the best first'),
  of: z
    .enum(['pool', 'rest'])
    .default('pool')
    .describe('what a fraction is of: all rows of the pool, or those that the filters before left'),
};
const slug = z
  .string()
  .min(1)
  .optional()
  .describe('the model whose embeddings are used; default: the only one');

const leaf = {
  score: z
    .strictObject({
      column: z.string().min(1).optional().describe('a column, or the slug of a model'),
      ...bound,
    })
    .describe(
      "DataComp's clip_score: of n rows the score at place int(n · fraction) is the threshold, ties stay",
    ),
  language: z
    .strictObject({
      by: z.enum(['fasttext', 'cld3']).default('fasttext'),
      is: z.union([z.string(), z.array(z.string()).min(1)]).default('en'),
      min_probability: z.number().min(0).max(1).optional().describe('of fasttext only'),
    })
    .describe('language of the caption, from its column or computed on the fly'),
  caption: z
    .strictObject({
      min_words: positive.optional().describe("words as Python's str.split() counts them"),
      max_words: positive.optional(),
      min_characters: positive.optional().describe('Unicode code points'),
      max_characters: positive.optional(),
      min_fasttext_tokens: positive.optional().describe("tokens as fastText's tokenize counts them"),
    })
    .describe('length of the caption'),
  size: z
    .strictObject({
      min_side: z.number().min(0).optional().describe('pixels of the shorter side, before any resizing'),
      max_aspect: z.number().min(1).optional().describe('longer side divided by shorter side'),
    })
    .describe('size of the original picture'),
  text_based: z
    .strictObject({})
    .describe("some word of the caption whose first WordNet synset is in ImageNet-21k's list (DataComp)"),
  image_based: z
    .strictObject({
      centroids: path.describe('npy, npz or pt: [K, dim] float32'),
      targets: path.describe(
        'image embeddings [n, dim] in npy, npz or pt, or shards to embed; several by a glob or a comma',
      ),
      slug,
    })
    .describe('pictures whose nearest centroid is one that some target picture falls to (DataComp)'),
  negcliploss: z
    .strictObject({
      slug,
      ...bound,
      batch: positive.default(32_768),
      batches: positive.default(1).describe('K, random partitions that are averaged'),
      temperature: z.number().gt(0).default(0.01),
      seed,
    })
    .describe('CLIP score less a normalisation over random batches (arXiv 2405.19547)'),
  normsim: z
    .strictObject({
      slug,
      ...bound,
      targets: path.describe('image embeddings of the target task, as for image_based'),
      p: z.union([z.literal(2), z.literal('inf')]).default('inf'),
    })
    .describe('p-norm of the similarities to a target set (arXiv 2405.19547)'),
  near_duplicates: z
    .strictObject({
      slug,
      clusters: positive.optional().describe('k of the k-means that splits the work'),
      centroids: path.optional().describe('instead of clusters: centroids made earlier'),
      epsilon: z.number().gt(0).lt(2).default(0.05).describe('a cosine above 1 − epsilon is a duplicate'),
      keep: z
        .enum(['hard', 'easy', 'first'])
        .default('hard')
        .describe('the one farthest from its centroid, nearest, or first'),
      seed,
    })
    .describe('one of each group of near-duplicates in embedding space (SemDeDup, arXiv 2303.09540)'),
  unique: z
    .strictObject({
      by: z.string().min(1).default('uid').describe('uid, sha256, text, url or any column of text'),
    })
    .describe('the first row of each value; rows without a value all stay'),
  balance: z
    .strictObject({
      entries: path.describe('one metadata entry a line, or a JSON list'),
      cap: positive.default(20_000).describe('t: entries matched more often than this are thinned to it'),
      seed,
    })
    .describe(
      'MetaCLIP: captions that hold an entry, thinned where the entry is frequent (arXiv 2309.16671)',
    ),
  cap: z
    .strictObject({
      by: z.string().min(1).default('domain').describe("domain (of the url's host) or any column of text"),
      at_most: positive,
      prefer: z
        .string()
        .min(1)
        .optional()
        .describe('column whose highest values stay; default: drawn by seed'),
      seed,
    })
    .describe('at most so many rows of each domain or value; rows without a value all stay'),
  where: z.string().min(1).describe('a SQL predicate over the columns (DuckDB)'),
  block: z
    .strictObject({
      sha256: path.optional(),
      uid: path.optional(),
      url: path.optional(),
      domain: path.optional(),
      pdq: path.optional().describe('perceptual hashes, compared with the column of --safety hashes'),
      pdq_distance: z
        .int()
        .min(0)
        .max(MAX_PDQ_DISTANCE)
        .optional()
        .describe(`bits in which a match may differ, where the list does not say; default ${PDQ_DISTANCE}`),
      member_sha256: path
        .optional()
        .describe("of the pictures' bytes in the shards, compared with the column of --safety hashes"),
    })
    .refine(
      (lists) => Object.values(lists).some((file) => typeof file === 'string'),
      'name at least one list',
    )
    .refine(
      ({ pdq, pdq_distance }) => pdq !== undefined || pdq_distance === undefined,
      'pdq_distance is of pdq',
    )
    .describe('rows that are on one of the lists are dropped; one entry a line'),
  safe: z
    .strictObject({
      max_punsafe: z
        .number()
        .min(0)
        .max(1)
        .optional()
        .describe('keep rows whose punsafe is at most this; default: those tagged UNLIKELY'),
    })
    .describe('the safe subset, by the columns that --safety adds'),
  subset: z.string().min(1).describe('rows whose uid is in this subset file'),
} as const;

/** What `preset` takes; each is a list of the filters above, and `docs/filters.md` has them one by one. */
export const PRESETS = [
  'no_filter',
  'basic_filter',
  'clip_score',
  'laion2b',
  'text_based',
  'image_based',
  'image_based_intersect_clip_score',
  'negcliploss',
  'negcliploss_normsim',
  'safe',
] as const;
export type PresetName = (typeof PRESETS)[number];

const preset = z
  .strictObject({
    name: z.enum(PRESETS),
    arch: z.string().min(1).optional().describe('b32, l14 or any slug'),
    threshold: number.optional(),
    fraction: share.optional(),
    of: z.enum(['pool', 'rest']).optional().describe('what the fraction is of; default: pool'),
    centroids: path.optional(),
    targets: path.optional(),
  })
  .describe("one of DataComp's baselines, or a published better one");

export type LeafName = keyof typeof leaf;
/** The parameters of a filter, defaults filled in. */
export type Params<Name extends LeafName> = z.output<(typeof leaf)[Name]>;
export type PresetParams = z.output<typeof preset>;

/** A filter that holds no others. */
export type LeafFilter = { [Name in LeafName]: { [Key in Name]: Params<Name> } }[LeafName];
/** A filter, checked and with its defaults. */
export type Filter =
  | LeafFilter
  | { preset: PresetParams }
  | { all: Filter[] }
  | { any: Filter[] }
  | { sequence: Filter[] }
  | { not: Filter };

type LeafInput = { [Name in LeafName]: { [Key in Name]: z.input<(typeof leaf)[Name]> } }[LeafName];
/** A filter as it is written: defaults may be left out, and a preset may be its name alone. */
export type FilterInput =
  | LeafInput
  | { preset: z.input<typeof preset> | PresetName }
  | { all: FilterInput[] }
  | { any: FilterInput[] }
  | { sequence: FilterInput[] }
  | { not: FilterInput };

const several = z.array(z.unknown()).min(1);

/** Every filter's own schema, by name. */
export const FILTERS = { ...leaf, preset, all: several, any: several, sequence: several } as const;
export const FILTER_NAMES = [...Object.keys(FILTERS), 'not'].sort();
