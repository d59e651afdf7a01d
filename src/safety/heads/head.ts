/** A head over image embeddings, and the JSON that describes it. The file format is in docs/safety.md. */
import * as z from 'zod';
import { ModelError } from '../../errors.ts';
import { type Layer, outputWidth } from './layers.ts';

export const HEAD_FORMAT = 1;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const columnName = z.string().regex(/^[a-z0-9_]+$/, 'must be made of a-z, 0-9 and _');
const probability = z.number().min(0).max(1);
const words = z.string().min(1);

/** Which embeddings a head means anything for. */
const spaceSchema = z.strictObject({
  /** For people. */
  name: words,
  /** Length of an embedding. */
  dim: z.int().min(1).max(65_536),
  /** SHA-256 of every weights file that makes these embeddings. Where there is one, it decides. */
  weights_sha256: z.array(sha256),
  /** Hub repositories of the same weights, for a head whose publisher named no file. */
  models: z.array(words),
  /** The name under which DataComp's own metadata has these embeddings, without saying what made them. */
  datacomp: z.enum(['b32', 'l14']).optional(),
});
export type HeadSpace = z.infer<typeof spaceSchema>;

/** Column groups and columns that are Shardsieve's own; a head of such a name would stand in their place. */
export const OWN_GROUPS: readonly string[] = ['punsafe', 'nsfwjs', 'hashes', 'words'];
const OWN_COLUMN = /^(nsfw_tag|nsfw_nsfwjs_.*|safety_words)$/;

export const headInfoSchema = z
  .strictObject({
    format: z.literal(HEAD_FORMAT),
    /** Names the head, and its column group `safety:<name>`. */
    name: columnName.refine(
      (name) => !OWN_GROUPS.includes(name),
      'is a name of Shardsieve’s own columns: give the head another',
    ),
    /** One line for people. */
    title: words,
    space: spaceSchema,
    /** Fingerprint of the preprocess of the embeddings it was trained on; `null` where that is not known. */
    preprocess_fingerprint: z.string().nullable(),
    /** What each value is the probability of. */
    labels: z.array(words).min(1),
    /** The column of each value; the beginning keeps it apart from the columns of samples. */
    columns: z
      .array(
        z
          .string()
          .regex(
            /^(nsfw|safety)_[a-z0-9_]+$/,
            'must begin with nsfw_ or safety_ and go on with a-z, 0-9 and _',
          )
          .refine((name) => !OWN_COLUMN.test(name), 'is a column of Shardsieve’s own: give it another name'),
      )
      .min(1),
    /** `unsure` and `nsfw`, or other names; values at or above a threshold are that. */
    thresholds: z.record(words, probability),
    /**
     * The labels that count towards `punsafe`. Where it is left out, the only label, or all concepts; none of several
     * labels that share one probability, of which one is the harmless one.
     */
    unsafe: z.array(words).optional(),
    licence: words,
    /** Where it comes from. */
    source: words,
    /** What it was trained on, in words. */
    trained_on: words,
    /** What it cannot see, in words. */
    limits: words,
    /** What was measured when it was trained; free-form. */
    metrics: z.record(z.string(), z.json()).optional(),
  })
  .refine((info) => info.labels.length === info.columns.length, {
    path: ['columns'],
    message: 'must be as many as labels',
  })
  .refine((info) => (info.unsafe ?? []).every((label) => info.labels.includes(label)), {
    path: ['unsafe'],
    message: 'must be among the labels',
  })
  .refine((info) => new Set(info.columns).size === info.columns.length, {
    path: ['columns'],
    message: 'must differ from one another',
  });
export type HeadInfo = z.infer<typeof headInfoSchema>;

export interface Head {
  readonly info: HeadInfo;
  readonly layers: readonly Layer[];
}

/**
 * Checks that the description is complete, that the layers fit each other, the space and the labels, and that no
 * weight is NaN or infinite. Throws `ModelError` naming file and field.
 */
export function checkHead(head: { info: unknown; layers: readonly Layer[] }, file: string): Head {
  const parsed = headInfoSchema.safeParse(head.info);
  if (!parsed.success) throw issueError(parsed.error, file);
  const info = parsed.data;
  if (head.layers.length === 0) throw wrong(file, 'layers', 'must not be empty');
  let width = info.space.dim;
  for (const [i, layer] of head.layers.entries()) {
    checkLayer(layer, width, (problem, tensor) => wrong(file, `layers.${i}`, problem, tensor));
    width = outputWidth(layer, width);
  }
  if (width !== info.labels.length) {
    throw wrong(file, 'labels', `are ${info.labels.length}, but the layers give ${width} values`);
  }
  return { info, layers: head.layers };
}

type Wrong = (problem: string, tensor?: string) => ModelError;

function checkLayer(layer: Layer, width: number, fail: Wrong): void {
  const sized = (name: string, values: ArrayLike<number> | undefined, size: number): void => {
    if (values === undefined) return;
    if (values.length !== size) throw fail(`needs ${size} values in ${name}, not ${values.length}`);
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) throw fail(`has ${values[i]} among its ${name}`);
    }
  };
  switch (layer.type) {
    case 'encode':
      for (const lookup of layer.lookups) {
        if (!(lookup.column >= 0 && lookup.column < width))
          throw fail(`looks up component ${lookup.column} of ${width}`);
        sized('values', lookup.values, lookup.keys.length);
        if (lookup.keys.some((key, i) => i > 0 && key <= lookup.keys[i - 1]))
          throw fail('has keys that do not ascend');
      }
      return;
    case 'normalise':
      for (const name of ['mean', 'scale', 'gamma', 'beta'] as const) sized(name, layer[name], width);
      if (layer.scale.some((value) => value === 0)) throw fail('divides by zero: a scale is 0');
      return;
    case 'dense':
      if (layer.inputs !== width) throw fail(`takes ${layer.inputs} values, but gets ${width}`);
      sized('weight', layer.weight, layer.inputs * layer.outputs);
      sized('bias', layer.bias, layer.outputs);
      return;
    case 'concepts':
      if (!(layer.scale > 0 && Number.isFinite(layer.scale)))
        throw fail(`has a temperature factor of ${layer.scale}`);
      for (const { start, end } of [...layer.concepts, layer.neutral]) {
        if (!(start >= 0 && start < end && end <= width))
          throw fail(`has prompts ${start} to ${end} of ${width}`);
      }
      return;
    case 'argmax':
      if (!(layer.index >= 0 && layer.index < width)) throw fail(`asks for value ${layer.index} of ${width}`);
      return;
    case 'isotonic':
      sized('x', layer.x, layer.x.length);
      sized('y', layer.y, layer.x.length);
      if (layer.x.length === 0 || layer.x.some((x, i) => i > 0 && x < layer.x[i - 1]))
        throw fail('has calibration points that do not ascend');
  }
}

/** The first problem zod found, with its field. */
export function issueError(error: z.ZodError, file: string, hint?: string): ModelError {
  const [issue] = error.issues;
  const field = issue.path.join('.') || 'the whole';
  return new ModelError(`${field}: ${issue.message}`, {
    file,
    hint: hint ?? 'Make or pull the head again; its fields are listed in docs/safety.md',
  });
}

function wrong(file: string, field: string, problem: string, tensor?: string): ModelError {
  return new ModelError(`the head's ${field} ${problem}`, {
    file,
    tensor,
    hint: 'Make or pull the head again; a head is described in docs/safety.md',
  });
}
