/**
 * Zero-shot heads: concepts said in words. A file holds a few prompts for each concept and neutral ones for
 * everything else; the model's own text tower embeds them once, and a head is made that needs no text any more.
 *
 * A concept's probability is the softmax over its own prompts and all neutral ones, at the model's own temperature
 * (`logit_scale`), summed over its own prompts. Each concept stands alone against the neutral prompts, so a picture
 * can be of several.
 */
import { parse } from 'yaml';
import * as z from 'zod';
import { ModelError, messageOf, UsageError } from '../../errors.ts';
import { checkHead, HEAD_FORMAT, type Head, type HeadSpace, OWN_GROUPS } from './head.ts';

/** A prompt is a caption; CLIP reads 77 tokens of it. */
const MAX_PROMPT_LENGTH = 500;
const MAX_PROMPTS = 10_000;

const prompt = z
  .string({ error: 'must be text' })
  .refine(
    (text) => text.trim() !== '',
    'is an empty prompt: write what the picture shows, or remove the line',
  )
  .refine((text) => text.length <= MAX_PROMPT_LENGTH, `is longer than ${MAX_PROMPT_LENGTH} characters`);
const prompts = z.array(prompt, { error: 'must be a list of prompts' }).min(1, 'needs at least one prompt');
const conceptFileSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9_]+$/, 'must be made of a-z, 0-9 and _')
    .refine((name) => !OWN_GROUPS.includes(name), 'is a name of Shardsieve’s own columns: choose another'),
  title: z.string().min(1).optional(),
  concepts: z
    .record(z.string().regex(/^[a-z0-9_]+$/, 'a concept is named by a-z, 0-9 and _'), prompts)
    .refine((concepts) => Object.keys(concepts).length > 0, 'needs at least one concept'),
  neutral: prompts,
  thresholds: z.record(z.string(), z.number().min(0).max(1)).optional(),
});
export type ConceptFile = z.infer<typeof conceptFileSchema>;

/** Reads YAML (JSON is YAML too). Throws `UsageError` naming the file, the field and what to do. */
export function parseConcepts(text: string, file: string): ConceptFile {
  const hint =
    'It needs name, concepts (prompts by concept) and neutral (prompts); see assets/safety/concepts.yaml';
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0, logLevel: 'error' });
  } catch (cause) {
    throw new UsageError(`the concept file is no YAML: ${messageOf(cause).split('\n')[0]}`, {
      file,
      hint,
      cause,
    });
  }
  const parsed = conceptFileSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UsageError(`${issue.path.join('.') || 'the concept file'}: ${issue.message}`, { file, hint });
  }
  const { concepts, neutral } = parsed.data;
  const all = [...Object.values(concepts).flat(), ...neutral];
  if (all.length > MAX_PROMPTS)
    throw new UsageError(`${all.length} prompts, more than ${MAX_PROMPTS}`, { file });
  const seen = new Set<string>();
  for (const text of all) {
    const key = text.trim().toLowerCase();
    if (seen.has(key)) {
      throw new UsageError(`the prompt ${JSON.stringify(text)} stands there twice`, {
        file,
        hint: 'A prompt belongs to one concept, or to neutral',
      });
    }
    seen.add(key);
  }
  return parsed.data;
}

/** What is needed of a model to embed prompts in its space. */
export interface TextEmbedder {
  /** Unit embeddings, float32 `[texts.length, dim]`. */
  embed(texts: readonly string[]): Promise<Float32Array>;
  /** `exp` of the checkpoint's `logit_scale`. */
  logitScale: number;
  space: HeadSpace;
  preprocessFingerprint: string;
}

/** Embeds the prompts and makes the head. Throws `ModelError`. */
export async function conceptHead(concepts: ConceptFile, model: TextEmbedder, file: string): Promise<Head> {
  const { dim } = model.space;
  const names = Object.keys(concepts.concepts);
  const sets = [...names.map((name) => concepts.concepts[name]), concepts.neutral];
  const texts = sets.flat();
  const embeddings = await model.embed(texts);
  if (embeddings.length !== texts.length * dim)
    throw new ModelError(
      `the text tower gave ${embeddings.length} values for ${texts.length} prompts of ${dim}`,
    );
  const weight = new Float32Array(embeddings.length);
  for (let p = 0; p < texts.length; p++)
    for (let k = 0; k < dim; k++) weight[k * texts.length + p] = embeddings[p * dim + k];
  let end = 0;
  const ranges = sets.map((set) => {
    end += set.length;
    return { start: end - set.length, end };
  });
  const neutral = ranges[ranges.length - 1];
  return checkHead(
    {
      info: {
        format: HEAD_FORMAT,
        name: concepts.name,
        title: concepts.title ?? `zero-shot concepts ${concepts.name}`,
        space: model.space,
        preprocess_fingerprint: model.preprocessFingerprint,
        labels: names,
        columns: names.map((name) => `safety_${name}`),
        thresholds: concepts.thresholds ?? {},
        licence: "the prompts': see their file; the model's: see its card",
        source: file.split(/[\\/]/).at(-1) ?? file,
        trained_on: `Nothing: ${texts.length} prompts, embedded by the text tower of ${model.space.name}`,
        limits:
          'No measured accuracy. It finds what the model associates with the words, and misses what is small, rare, ' +
          'unusual or not said; thresholds differ from model to model and have to be set on labelled samples',
      },
      layers: [
        { type: 'dense', inputs: dim, outputs: texts.length, weight, activation: 'linear' },
        { type: 'concepts', scale: model.logitScale, concepts: ranges.slice(0, -1), neutral },
      ],
    },
    file,
  );
}
