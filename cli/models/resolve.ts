/** From a MODEL argument to two files on this machine. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ModelError } from '../../src/errors.ts';
import { type DownloadOptions, fetchFile, fileExists, type HubFile } from '../hub/download.ts';
import { isSha256 } from '../hub/names.ts';
import { downloadError, type Failed } from '../hub/retry.ts';
import { packageRoot } from '../package-root.ts';
import {
  CONFIG_FILE,
  CONVERT_HINT,
  findModelFiles,
  PICKLE_FILE,
  readConfig,
  sizeOf,
  WEIGHTS_FILE,
} from './files.ts';
import { nameOfFolder, parseModelSpec, slugOfRepo } from './spec.ts';

export interface ResolvedModel {
  /** As it was asked for. */
  spec: string;
  /** For people and for `run.json`: `org/name`, the folder's name, or `demo`. */
  name: string;
  /** The commit on the hub, where it comes from there. */
  revision?: string;
  /** `[a-z0-9_]+`, the middle of `clip_<slug>_similarity_score`. */
  slug: string;
  configPath: string;
  /** May be a symbolic link into the cache's `blobs`. */
  weightsPath: string;
  /** The weights' hash as the hub's cache names them, in hex; not computed here. */
  weightsSha256?: string;
  /** `open_clip_config.json`, parsed: an object whose `model_cfg` is an object. */
  configJson: Record<string, unknown>;
}

/** Settings, network, cancelling, progress and notes; see `DownloadOptions`. */
export type ResolveOptions = DownloadOptions;

/**
 * Finds a model's config and weights, downloading what the hub's cache lacks.
 *
 * Throws `UsageError` for an argument that names no model, `ModelError` for a folder or repository that is not an
 * open_clip model with safetensors weights, and what `downloadFile` throws.
 */
export async function resolveModel(spec: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const parsed = parseModelSpec(spec);
  if (parsed.kind === 'demo')
    return { spec, name: 'demo', slug: 'demo', ...(await readFolder(demoFolder())) };
  if (parsed.kind === 'local') {
    return { spec, ...nameOfFolder(parsed.folder), ...(await readFolder(parsed.folder)) };
  }
  const { repo, revision } = parsed;
  const { config, weights } = await obtainFiles(repo, revision, options);
  return {
    spec,
    name: repo,
    revision: weights.commit,
    slug: slugOfRepo(repo),
    ...(await describe(config.path, weights.path)),
  };
}

export interface PulledModel {
  model: ResolvedModel;
  /** Bytes of the weights. */
  weightsBytes: number;
  /** False where everything was in the cache, or is not from the hub. */
  downloaded: boolean;
}

/** Makes sure that a model is on this machine. Throws what `resolveModel` throws. */
export async function pullModel(spec: string, options: ResolveOptions = {}): Promise<PulledModel> {
  let downloaded = false;
  const model = await resolveModel(spec, {
    ...options,
    onProgress(progress) {
      downloaded = true;
      options.onProgress?.(progress);
    },
  });
  return { model, weightsBytes: (await sizeOf(model.weightsPath)) ?? 0, downloaded };
}

/** Both files at one commit: the config settles what the revision stands for. */
async function obtainFiles(
  repo: string,
  revision: string,
  options: ResolveOptions,
): Promise<{ config: HubFile; weights: HubFile }> {
  const config = await fetchFile({ ...options, repo, revision, file: CONFIG_FILE });
  if (!config.ok) throw await explain(config, CONFIG_FILE, repo, revision, options);
  const { commit } = config.value;
  const weights = await fetchFile({ ...options, repo, revision: commit, file: WEIGHTS_FILE });
  if (!weights.ok) throw await explain(weights, WEIGHTS_FILE, repo, commit, options);
  return { config: config.value, weights: weights.value };
}

/** Turns the hub's refusal into what it means for a model. */
async function explain(
  failed: Failed,
  file: string,
  repo: string,
  revision: string,
  options: ResolveOptions,
): Promise<Error> {
  if (failed.problem !== 'no_file') return downloadError(failed);
  const exists = (name: string) => fileExists({ ...options, repo, revision, file: name });
  if (file === WEIGHTS_FILE) {
    if (!(await exists(PICKLE_FILE))) {
      return new ModelError(`${repo} has no ${WEIGHTS_FILE}`, {
        hint: 'Shardsieve reads open_clip checkpoints in safetensors form',
        cause: downloadError(failed),
      });
    }
    return new ModelError(`${repo} has its weights only as a pickle, ${PICKLE_FILE}`, { hint: CONVERT_HINT });
  }
  const isTransformers = await exists('config.json');
  return new ModelError(`${repo} has no ${CONFIG_FILE}: it is not an open_clip model`, {
    hint: isTransformers
      ? "It is in another library's format; look for its open_clip counterpart (`shardsieve models list` has some)"
      : `Check the name; ${CONFIG_FILE} and ${WEIGHTS_FILE} are needed`,
    cause: downloadError(failed),
  });
}

function demoFolder(): string {
  return join(packageRoot(), 'demo', 'model');
}

async function readFolder(folder: string) {
  const { configPath, weightsPath } = await findModelFiles(folder);
  return describe(configPath, weightsPath);
}

async function describe(configPath: string, weightsPath: string) {
  const configJson = await readConfig(configPath);
  const real = await realpath(weightsPath);
  const named = basename(dirname(real)) === 'blobs' && isSha256(basename(real));
  return { configPath, weightsPath, configJson, ...(named ? { weightsSha256: basename(real) } : {}) };
}
