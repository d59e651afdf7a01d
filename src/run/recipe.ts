import { z } from 'zod';
import { PRECISIONS } from '../clip/precision.ts';
import { UsageError } from '../errors.ts';
import { guess } from '../nearest.ts';
import { check, parseFilters } from '../select/parse.ts';
import { FILTERS, type Filter } from '../select/spec.ts';

/**
 * A whole job as data: which shards, which models, what is added, which filters in which order, what is written. A
 * recipe does what it has fields for: `models` or `score` scores, `annotate` adds columns, `filters` select into
 * `subset`, `reshard` copies. Paths are relative to where the command runs, as on a command line.
 */

const path = z.string().min(1);
const several = z.union([path, z.array(path).min(1)]);
const positive = z.int().min(1);

const safety = z
  .array(path)
  .min(1)
  .optional()
  .describe('safety columns: nsfwjs, hashes, words, concepts, laion-l14, concepts:FILE, head:FILE, …');

const score = z
  .strictObject({
    caption: z.string().optional().describe('txt or json:FIELD'),
    uid: z.string().optional().describe('json, json:FIELD or key'),
    carry: z.array(z.string()).optional().describe('fields of the JSON to copy to columns, as json:FIELD'),
    embeddings: z.boolean().optional().describe('write the npz of embeddings; default true'),
    safety,
    fit: z.enum(['open_clip', 'visual']).optional(),
    fast_decode: z.boolean().optional().describe('decode large JPEGs reduced: quicker, other pixels'),
    limit: positive.optional().describe('a pilot: stop after so many samples'),
    sample: z.number().gt(0).max(1).optional().describe('a pilot: score this share of the samples'),
    verify_input: z.boolean().optional(),
    full_metadata: z
      .boolean()
      .optional()
      .describe('score also what the filters are known to drop; default: it is dropped before it is decoded'),
    precision: z
      .enum(PRECISIONS)
      .optional()
      .describe('what the towers compute in; default fp32; fp16 on GPUs only'),
    device: several
      .optional()
      .describe(
        'what runs the towers: cpu (default), webgpu, cuda:1, …; several of one kind share the shards',
      ),
    batch: z
      .union([positive, z.literal('auto')])
      .optional()
      .describe(
        'pictures that a tower runs at once, or auto: measured first; default: a fixed number a device',
      ),
    calibrate: path.optional().describe('a shard whose first pairs fix the scales of int8'),
    refine: z
      .boolean()
      .optional()
      .describe(
        "with int8: score what lies near the filters' bounds again, so that the subset is that of fp32",
      ),
  })
  .describe('how samples become rows and scores');

const annotate = z
  .strictObject({
    lang: z
      .array(z.enum(['fasttext', 'cld3']))
      .min(1)
      .optional(),
    lid: path
      .optional()
      .describe("fastText's model: compressed (in the package), full (lid.176.bin), or a file"),
    safety,
  })
  .describe('columns to add to the metadata before selecting');

const reshard = z
  .strictObject({
    out: path.describe('folder of the new shards'),
    names: z.enum(['key', 'uid']).optional(),
    shard_size: positive.optional(),
    shard_bytes: positive.optional(),
    shard_format: z.string().optional(),
    output_first_shard: z.int().min(0).optional().describe('number of the first output shard'),
    first_shard: z.int().min(0).optional().describe('read only shards with numbers from this one on'),
    num_shards: positive.optional().describe('and so many numbers'),
    shuffle_buffer: z.int().min(0).optional().describe('samples in the shuffle buffer; 0 keeps the order'),
    seed: z.int().min(0).optional().describe('of the shuffle'),
    apply_blur: z.boolean().optional().describe('blur faces by their boxes'),
    inject_blur_metadata: z.boolean().optional().describe('write the boxes into the JSON'),
    webp_quality: z.int().min(1).max(100).optional().describe('of blurred pictures'),
    overwrite: z.boolean().optional().describe("write into a folder that is not Shardsieve's"),
  })
  .describe('copy the samples of the subset into new shards');

const FIELDS = {
  shards: several.optional().describe('files, folders, globs, brace ranges, @list.txt'),
  models: z
    .array(z.union([path, z.strictObject({ model: path, slug: z.string().min(1).optional() })]))
    .min(1)
    .optional()
    .describe('alias, hf-hub:org/name[@revision], local-dir:PATH or demo'),
  score: score.optional(),
  metadata: several.optional().describe('folders to select from; with models, the one folder to score into'),
  annotate: annotate.optional(),
  join: several.optional().describe('parquets with a uid column, whose other columns can be used in filters'),
  filters: z.array(z.unknown()).optional().describe('applied in order'),
  strict: z.boolean().optional().describe('a row that a filter cannot judge is an error'),
  repeats: z.enum(['keep', 'drop']).optional().describe('repeated uids in the subset; default drop'),
  subset: path.optional().describe('the subset file to write'),
  reshard: reshard.optional(),
} as const;

const schema = z.strictObject(FIELDS);

/** A checked recipe; see the schema for what the fields mean. */
export type Recipe = Omit<z.output<typeof schema>, 'filters'> & { filters?: Filter[] };

/** Throws `UsageError` naming the field, and the nearest one where a name looks mistyped. */
export function parseRecipe(value: unknown): Recipe {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError('a recipe is a mapping of fields', {
      hint: `The fields are ${Object.keys(FIELDS).join(', ')}`,
    });
  }
  const unknown = Object.keys(value).find((field) => field !== '$schema' && !(field in FIELDS));
  if (unknown !== undefined) {
    const fields = Object.keys(FIELDS);
    throw new UsageError(`a recipe has no field ${unknown}`, {
      hint: `${guess(unknown, fields)}The fields are ${fields.join(', ')}`,
    });
  }
  const { $schema: _, ...fields } = value as { [field: string]: unknown };
  const { filters, ...recipe } = check(schema, fields, 'recipe');
  return { ...recipe, ...(filters === undefined ? {} : { filters: parseFilters(filters) }) };
}

/** JSON Schema (2020-12) of a recipe, for editors: `recipes/recipe.schema.json`. */
export function recipeJsonSchema(): unknown {
  const filter: z.ZodType = z
    .lazy(() =>
      z.union([
        ...Object.entries(FILTERS)
          .filter(([name]) => !['all', 'any', 'sequence', 'preset'].includes(name))
          .map(([name, params]) => z.strictObject({ [name]: params })),
        z.enum(['language', 'text_based', 'unique']),
        z.strictObject({ preset: z.union([FILTERS.preset.shape.name, FILTERS.preset]) }),
        ...['all', 'any', 'sequence'].map((name) => z.strictObject({ [name]: z.array(filter).min(1) })),
        z.strictObject({ not: filter }),
      ]),
    )
    .meta({ id: 'filter', description: 'a filter: an object of one field, its name' });
  const recipe = z.strictObject({
    $schema: z.string().optional(),
    ...FIELDS,
    filters: z.array(filter).optional().describe('applied in order'),
  });
  const json = z.toJSONSchema(recipe, { io: 'input' });
  return { ...json, title: 'A Shardsieve recipe' };
}
