/** From a MODEL argument to two files on this machine. */
import { join } from 'node:path';
import { ModelError } from '../../src/errors.ts';
import { packageRoot } from '../package-root.ts';
import { findModelFiles, readConfig } from './files.ts';
import { nameOfFolder, parseModelSpec } from './spec.ts';

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
  /** `open_clip_config.json`, parsed: an object whose `model_cfg` is an object. */
  configJson: Record<string, unknown>;
}

export interface ResolveOptions {
  /** Where the hub's settings are read; `process.env` by default. */
  env?: Record<string, string | undefined>;
  signal?: AbortSignal;
  /** Bytes as they come, of a file that is being downloaded. */
  onProgress?: (progress: { file: string; received: number; total?: number }) => void;
  /** What the user should know though it went well, such as that a cached copy is used while offline. */
  onNote?: (note: string) => void;
}

/**
 * Finds a model's config and weights.
 *
 * Throws `UsageError` for an argument that names no model and `ModelError` for a folder that is not a model.
 */
export async function resolveModel(spec: string, _options: ResolveOptions = {}): Promise<ResolvedModel> {
  const parsed = parseModelSpec(spec);
  if (parsed.kind === 'hub') throw new ModelError('models from the hub are not there yet');
  if (parsed.kind === 'demo') {
    const folder = join(packageRoot(), 'demo', 'model');
    return { spec, name: 'demo', slug: 'demo', ...(await readFolder(folder)) };
  }
  return { spec, ...nameOfFolder(parsed.folder), ...(await readFolder(parsed.folder)) };
}

async function readFolder(folder: string) {
  const { configPath, weightsPath } = await findModelFiles(folder);
  return { configPath, weightsPath, configJson: await readConfig(configPath) };
}
