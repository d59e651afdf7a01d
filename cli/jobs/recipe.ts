import { UsageError } from '../../src/errors.ts';
import type { Part } from '../../src/io/part.ts';
import type { OnEvent } from '../../src/run/events.ts';
import type { MaxFailed } from '../../src/run/outcome.ts';
import type { Recipe } from '../../src/run/recipe.ts';
import { type AnnotateOptions, asRunEvents } from './annotate.ts';
import type { ScoreOptions } from './score.ts';
import type { SelectOptions } from './select.ts';
import { runSteps, type Steps, type StepTotals } from './steps.ts';

export interface RecipeOptions extends Pick<Steps, 'allowFailed' | 'onPlan' | 'onStep' | 'onScored'> {
  recipe: Recipe;
  allowTruncated?: boolean;
  /** Do one part of the shards only. */
  part?: Part;
  /** Score only what failed in an earlier run; where nothing is scored, copy only that. */
  retryFailed?: boolean;
  /** How many shards may fail. */
  maxFailed?: MaxFailed;
  onEvent?: OnEvent;
  onDownload?: ScoreOptions['onDownload'];
  onProgress?: SelectOptions['onProgress'];
  signal?: AbortSignal;
}

/** Does what a recipe says. Throws `UsageError` where its fields do not go together, and what the steps throw. */
export async function runRecipe(options: RecipeOptions): Promise<StepTotals> {
  return runSteps(stepsOf(options));
}

/** The steps that a recipe has fields for. Throws `UsageError` naming the field that is missing. */
export function stepsOf(options: RecipeOptions): Steps {
  const { recipe, allowFailed, allowTruncated, onStep, onScored, onEvent, onDownload, onProgress, signal } =
    options;
  const { part, retryFailed, maxFailed } = options;
  const { shards, models, metadata, filters, join, strict, subset, reshard } = recipe;
  const steps: Steps = { allowFailed, onPlan: options.onPlan, onStep, onScored };
  const told: AnnotateOptions['onEvent'] = (event) => onEvent && asRunEvents(event).forEach(onEvent);
  if (models || recipe.score) {
    const out = need(only(metadata, 'metadata', 'scoring'), 'metadata', 'scoring');
    const specs = (models ?? []).map((model) =>
      typeof model === 'string' ? { model, slug: undefined } : model,
    );
    const named = specs.findLastIndex(({ slug }) => slug !== undefined);
    const unnamed = specs.slice(0, named).find(({ slug }) => slug === undefined);
    if (unnamed) throw new UsageError(`models: ${unnamed.model} needs a slug, as a later one has`);
    const {
      verify_input: verifyInput,
      full_metadata: fullMetadata,
      fast_decode: fastDecode,
      device,
      refine,
      ...pairs
    } = recipe.score ?? {};
    steps.fullMetadata = fullMetadata;
    steps.score = {
      ...pairs,
      ...{ verifyInput, fastDecode, allowTruncated, onEvent, onDownload, signal, out },
      ...{ part, retryFailed, maxFailed },
      ...(device === undefined ? {} : { device: [device].flat() }),
      ...(refine ? { refine: need(filters, 'filters', 'score.refine') } : {}),
      shards: need(shards, 'shards', 'scoring'),
      ...(models ? { models: specs.map(({ model }) => model) } : {}),
      ...(named >= 0 ? { slugs: specs.slice(0, named + 1).map(({ slug }) => slug!) } : {}),
    };
  }
  const { lang, lid, safety } = recipe.annotate ?? {};
  // `lid` alone says by which model languages are told while selecting.
  if (recipe.annotate && (lang !== undefined || safety !== undefined || !filters)) {
    const folders = [need(metadata, 'metadata', 'annotating')].flat();
    steps.annotate = folders.map((folder) => ({
      metadata: folder,
      lang,
      lid,
      safety,
      // For what looks at pictures; a recipe that has none is told so before anything is judged.
      ...(safety === undefined ? {} : { shards }),
      onEvent: told,
      onDownload,
      signal,
    }));
  }
  if (filters) {
    steps.select = {
      ...{ filters, strict, onProgress, signal, lid },
      ...(join === undefined ? {} : { join: [join].flat() }),
      metadata: need(metadata, 'metadata', 'selecting'),
      multiset: recipe.repeats === 'keep',
      out: need(subset, 'subset', 'selecting'),
      allowPartial: steps.score !== undefined,
    };
  }
  if (reshard) {
    steps.reshard = {
      shards: need(shards, 'shards', 'resharding'),
      subset: need(subset, 'subset', 'resharding'),
      uid: recipe.score?.uid,
      ...reshardOf(reshard),
      // Where the boxes of faces are known by uid.
      ...(reshard.inject_blur_metadata ? { metadata } : {}),
      ...{ part, onEvent, signal },
      retryFailed: retryFailed && steps.score === undefined,
    };
  }
  if (!steps.score && !steps.annotate && !steps.select && !steps.reshard) {
    throw new UsageError('this recipe does nothing: it has no models, annotate, filters or reshard');
  }
  return steps;
}

function reshardOf(fields: NonNullable<Recipe['reshard']>) {
  const { out, names, seed, overwrite } = fields;
  return {
    ...{ out, names, seed, overwrite },
    shardSize: fields.shard_size,
    shardBytes: fields.shard_bytes,
    shardFormat: fields.shard_format,
    outputFirstShard: fields.output_first_shard,
    firstShard: fields.first_shard,
    numShards: fields.num_shards,
    shuffleBuffer: fields.shuffle_buffer,
    applyBlur: fields.apply_blur,
    injectBlurMetadata: fields.inject_blur_metadata,
    webpQuality: fields.webp_quality,
  };
}

function need<T>(value: T | undefined, field: string, what: string): T {
  if (value === undefined) throw new UsageError(`the recipe has no ${field}, which ${what} needs`);
  return value;
}

function only(value: string | string[] | undefined, field: string, what: string): string | undefined {
  const all = value === undefined ? [] : [value].flat();
  if (all.length > 1)
    throw new UsageError(`${what} writes into one folder, and ${field} names ${all.length}`);
  return all[0];
}
