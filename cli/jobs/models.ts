/** From MODEL arguments to what a run wants: each model known by its hash before anything is loaded. */
import { readFile } from 'node:fs/promises';
import { parseClipConfig } from '../../src/clip/config.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import { parsePreprocess, preprocessFingerprint } from '../../src/image/preprocess-config.ts';
import type { Fit } from '../../src/image/types.ts';
import type { Json } from '../../src/metadata/table.ts';
import { canonicalJson, fingerprint } from '../../src/run/fingerprint.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import { DEFAULT_ALIAS } from '../models/aliases.ts';
import { type ResolvedModel, type ResolveOptions, resolveModel } from '../models/resolve.ts';
import { openClip } from '../onnx/clip.ts';
import { sha256File } from '../onnx/files.ts';
import { loadMerges } from '../vocab.ts';

export interface ModelChoice {
  /** MODEL arguments; the default is the checkpoint trained on DataComp-1B. */
  models?: readonly string[];
  /** Names of the models in columns, in their order; shorter or absent: derived. */
  slugs?: readonly string[];
  fit?: Fit;
  /** Threads of one run of a tower. */
  threads?: number;
}

/**
 * Resolves, downloads where needed, and hashes each model. Throws `UsageError` for two models under one slug,
 * `ModelError` and `DownloadError` as `resolveModel` does.
 */
export async function wantModels(choice: ModelChoice, options: ResolveOptions = {}): Promise<WantedModel[]> {
  const specs = choice.models ?? [DEFAULT_ALIAS];
  if ((choice.slugs?.length ?? 0) > specs.length) {
    throw new UsageError(`${choice.slugs?.length} slugs for ${specs.length} models`, {
      hint: 'Give one --slug a --model',
    });
  }
  const wanted: WantedModel[] = [];
  for (const [i, spec] of specs.entries()) {
    const resolved = await resolveModel(spec, options);
    const slug = choice.slugs?.[i] ?? resolved.slug;
    if (!/^[a-z0-9_]+$/.test(slug)) {
      throw new UsageError(`${JSON.stringify(slug)} cannot name a column`, {
        hint: 'A slug is made of a-z, 0-9 and _',
      });
    }
    if (wanted.some((other) => other.slug === slug)) {
      throw new UsageError(`two models would share the columns of ${slug}`, {
        hint: 'Name them apart with --slug',
      });
    }
    wanted.push(await want(resolved, slug, choice));
  }
  return wanted;
}

async function want(resolved: ResolvedModel, slug: string, choice: ModelChoice): Promise<WantedModel> {
  const { configPath, weightsPath, configJson } = resolved;
  const config = parseClipConfig(await readFile(configPath, 'utf8'), configPath);
  const preprocess = parsePreprocess(configJson['preprocess_cfg'], config.vision.imageSize);
  const side = config.vision.imageSize;
  if (preprocess.width !== side || preprocess.height !== side) {
    throw new ModelError(
      `the preprocess makes ${preprocess.width} × ${preprocess.height} pictures for a model of ${side}`,
      {
        file: configPath,
      },
    );
  }
  const decisive = {
    weights_sha256: await sha256File(weightsPath),
    model_cfg: fingerprint(configJson['model_cfg']),
    preprocess_fingerprint: preprocessFingerprint(preprocess, choice.fit),
    precision: 'fp32',
    provider: 'cpu',
  };
  return {
    slug,
    entry: {
      name: resolved.name,
      ...(resolved.revision === undefined ? {} : { revision: resolved.revision }),
      ...decisive,
      fit: choice.fit ?? 'open_clip',
      preprocess: JSON.parse(canonicalJson(preprocess)) as Json,
      fingerprint: fingerprint({ kind: 'clip', ...decisive }),
    },
    load: async (): Promise<ScoreModel> => ({
      slug,
      preprocess,
      tokenizer: createTokenizer(await loadMerges(), { contextLength: config.text.contextLength }),
      clip: await openClip(
        { config: configPath, weights: weightsPath },
        choice.threads === undefined ? {} : { threads: choice.threads },
      ),
    }),
  };
}
