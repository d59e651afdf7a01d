/**
 * Requests and answers, described once: they are validated by these schemas, typed by them, and the OpenAPI document is
 * made of them. Requests depend on a server's limits.
 */
import * as z from 'zod';
import { TAGS } from '../../src/annotate/punsafe.ts';
import { PRECISIONS } from '../../src/clip/precision.ts';
import { NO_SPACE } from '../../src/webdataset/pair.ts';
import type { Limits } from './limits.ts';

/** A 2 × 2 PNG, for examples. */
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAACXBIWXMAAAPoAAAD6AG1e1JrAAAAEUlEQVQI12O4o6EBRAxg8g4AIN4Esa0PvCYAAAAASUVORK5CYII=';

const image = z
  .union(
    [
      z.strictObject({
        base64: z.base64().min(1).describe('The file’s bytes in base64 (RFC 4648, padded).'),
      }),
      z.strictObject({
        url: z
          .url({ protocol: /^https?$/ })
          .max(2048)
          .describe('Where this server fetches URLs.'),
      }),
      z.strictObject({ part: z.string().min(1).max(200).describe('The name of a file of the same form.') }),
    ],
    { error: 'must be one of {"base64"}, {"url"} or {"part"}' },
  )
  .meta({ id: 'Image', description: 'JPEG, PNG, WebP or GIF, by its content.', examples: [{ base64: PNG }] });
export type ImageSource = z.infer<typeof image>;

/** In the OpenAPI document its values are the models that are served. */
export const modelName = z
  .string()
  .min(1)
  .max(200)
  .describe('Name or slug of a model of `/v1/models`; default its first.');
const model = modelName.optional();
const ENCODINGS = ['float', 'base64'] as const;
export type Encoding = (typeof ENCODINGS)[number];

export function requestSchemas(limits: Limits) {
  const caption = (what: string) =>
    z
      .string()
      .max(limits.captionChars)
      .regex(NO_SPACE, `the ${what} is empty`)
      .meta({ examples: ['a red circle'] });
  const images = z.array(image).min(1).max(limits.images);
  return {
    score: z
      .strictObject({
        model,
        items: z
          .array(
            z.strictObject({
              image,
              captions: z.array(caption('caption')).min(1).max(limits.pairs),
            }),
          )
          .min(1)
          .max(limits.images)
          .describe(`Pictures, each with captions; at most ${limits.pairs} pairs in all.`),
        safety: z
          .boolean()
          .default(true)
          .describe('Judge the pictures too, where the server has classifiers.'),
        embeddings: z.enum(ENCODINGS).optional().describe('Give the unit embeddings too.'),
      })
      .meta({ id: 'ScoreRequest' }),
    embed: z
      .strictObject({
        model,
        images: z.array(image).max(limits.images).default([]),
        captions: z.array(caption('caption')).max(limits.pairs).default([]),
        tokens: z
          .array(z.array(z.int().min(0)).min(1))
          .max(limits.pairs)
          .default([])
          .describe('Captions that are tokenized already: ids from start-of-text to end-of-text.'),
        embeddings: z.enum(ENCODINGS).default('float').describe('`base64`: of float32, little-endian.'),
      })
      .refine(
        ({ images, captions, tokens }) => images.length + captions.length + tokens.length > 0,
        'names neither images nor captions',
      )
      .meta({ id: 'EmbedRequest' }),
    classify: z
      .strictObject({
        model,
        images,
        labels: z.array(caption('label')).min(1).max(limits.prompts),
        templates: z
          .array(caption('template').regex(/\{\}/, 'has no {} for the label'))
          .min(1)
          .max(limits.prompts)
          .default(['a photo of a {}.'])
          .describe(`Prompts with \`{}\` for the label; labels times templates at most ${limits.prompts}.`),
      })
      .meta({ id: 'ClassifyRequest' }),
    safety: z.strictObject({ model, images }).meta({ id: 'SafetyRequest' }),
  };
}
export type RequestSchemas = ReturnType<typeof requestSchemas>;

const float = z.number().describe('A float32 value, exactly.');
const embedding = z
  .union([z.array(float), z.string()])
  .describe('A unit vector: numbers, or base64 of float32, little-endian.');
const took = z.number().describe('Milliseconds from the arrived request to the answer.');

const pictureFields = {
  format: z.enum(['jpeg', 'png', 'webp', 'gif']),
  width: z.int().describe('Pixels, as in the file: before any EXIF rotation.'),
  height: z.int(),
};

export const preprocessSchema = z
  .object({
    width: z.int().describe('Of the model’s input, pixels.'),
    height: z.int(),
    mean: z.tuple([z.number(), z.number(), z.number()]).describe('Of R, G, B; 1 is full intensity.'),
    std: z.tuple([z.number(), z.number(), z.number()]),
    interpolation: z.enum(['bicubic', 'bilinear']),
    resizeMode: z.enum(['shortest', 'longest', 'squash']),
    fillColor: z.number(),
  })
  .meta({ id: 'Preprocess', description: 'What is done to a picture before the tower; open_clip’s terms.' });

export const modelSchema = z
  .object({
    name: z.string(),
    slug: z.string(),
    fingerprint: z.string().describe('Of all that decides a score; the one in `run.json` and `_stats.json`.'),
    preprocess_fingerprint: z.string().describe('Of what is done to a picture before the tower.'),
    precision: z.enum(PRECISIONS),
    provider: z.string(),
  })
  .meta({ id: 'Model' });

export const safetySchema = z
  .object({
    punsafe: z
      .number()
      .nullable()
      .describe('The largest of what the classifiers say; null where none counts.'),
    nsfw_tag: z.enum(TAGS).nullable(),
    columns: z
      .record(z.string(), z.number().nullable())
      .describe('By the names that `shardsieve score` gives its columns.'),
  })
  .meta({ id: 'Safety', description: 'As `shardsieve score --safety` has it: docs/safety.md.' });
export type SafetyAnswer = z.infer<typeof safetySchema>;

const scored = z.object({
  similarity: float.describe('The cosine of picture and caption.'),
  truncated: z.boolean().describe('Whether the caption had more tokens than the model takes.'),
  embedding: embedding.optional(),
});

export const ANSWERS = {
  score: z
    .object({
      model: modelSchema,
      items: z.array(
        z.object({
          image: z.object({ ...pictureFields, embedding: embedding.optional() }),
          scores: z.array(scored).describe('In the order of the captions.'),
          safety: safetySchema.optional(),
        }),
      ),
      took_ms: took,
    })
    .meta({ id: 'ScoreAnswer' }),
  embed: z
    .object({
      model: modelSchema,
      images: z.array(z.object({ ...pictureFields, embedding })),
      captions: z.array(z.object({ truncated: z.boolean(), embedding })),
      tokens: z.array(z.object({ embedding })),
      took_ms: took,
    })
    .meta({ id: 'EmbedAnswer' }),
  classify: z
    .object({
      model: modelSchema,
      images: z.array(
        z.object({
          ...pictureFields,
          best: z.string().describe('The likeliest label.'),
          labels: z
            .array(z.object({ label: z.string(), probability: z.number(), similarity: z.number() }))
            .describe('In the order of the request.'),
        }),
      ),
      took_ms: took,
    })
    .meta({ id: 'ClassifyAnswer' }),
  safety: z
    .object({
      model: modelSchema,
      images: z.array(z.object({ ...pictureFields, safety: safetySchema })),
      took_ms: took,
    })
    .meta({ id: 'SafetyAnswer' }),
  models: z
    .object({
      models: z.array(
        modelSchema.extend({
          default: z.boolean(),
          dim: z.int().describe('Length of an embedding.'),
          image_size: z.int().describe('Side of the pictures that the tower sees, pixels.'),
          context_length: z.int().describe('Tokens of a caption, the two marks included.'),
          logit_scale: z.number(),
          preprocess: preprocessSchema,
          heads: z.array(z.object({ name: z.string(), columns: z.array(z.string()) })),
        }),
      ),
      nsfwjs: z.boolean().describe('Whether NSFWJS’s classifier is here.'),
      urls: z.boolean().describe('Whether pictures may be given as URLs.'),
      limits: z.record(z.string(), z.number()),
    })
    .meta({ id: 'Models' }),
};
export type ScoreAnswer = z.infer<typeof ANSWERS.score>;
export type EmbedAnswer = z.infer<typeof ANSWERS.embed>;
export type ClassifyAnswer = z.infer<typeof ANSWERS.classify>;
export type SafetyAnswers = z.infer<typeof ANSWERS.safety>;
export type ModelsAnswer = z.infer<typeof ANSWERS.models>;
export type ScoreRequest = z.input<RequestSchemas['score']>;
export type EmbedRequest = z.input<RequestSchemas['embed']>;
export type ClassifyRequest = z.input<RequestSchemas['classify']>;
export type SafetyRequest = z.input<RequestSchemas['safety']>;

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe('RFC 6901, into the JSON that was sent or that the form stands for.'),
          detail: z.string(),
          reason: z.string().optional().describe('For a picture: why `shardsieve score` would skip it.'),
        }),
      )
      .optional(),
    request_id: z.string(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' });
export type ProblemDocument = z.infer<typeof problemSchema>;
