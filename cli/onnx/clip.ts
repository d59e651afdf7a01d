/** An open_clip checkpoint on disk as a `ClipModel`. */
import { readFile } from 'node:fs/promises';
import { parseClipConfig } from '../../src/clip/config.ts';
import { type ClipModel, loadClip } from '../../src/clip/model.ts';
import type { QuantisedPrecision } from '../../src/clip/precision.ts';
import { ModelError, messageOf } from '../../src/errors.ts';
import { modelFile } from './files.ts';
import { type NodeSessionOptions, nodeSessions } from './session.ts';

export interface CheckpointFiles {
  /** Path of `open_clip_config.json`. */
  config: string;
  /** Path of `open_clip_model.safetensors`; may be a symlink, as in a hub cache. */
  weights: string;
  /** Products in half floats. */
  half?: boolean;
  /** The checkpoint quantised, and how it is run, for another precision than fp32. */
  quantised?: { path: string; precision: QuantisedPrecision };
}

/** Loads both towers. Throws `ModelError` naming the file, key or tensor that is not what it must be. */
export async function openClip(files: CheckpointFiles, options: NodeSessionOptions = {}): Promise<ClipModel> {
  let json: string;
  try {
    json = await readFile(files.config, 'utf8');
  } catch (cause) {
    throw new ModelError(`the model config cannot be read: ${messageOf(cause)}`, {
      file: files.config,
      cause,
      hint: 'A model folder holds open_clip_config.json and open_clip_model.safetensors',
    });
  }
  const config = parseClipConfig(json, files.config);
  const weights = await modelFile(files.weights);
  if (files.quantised === undefined) {
    const { half = false } = files;
    return loadClip({ config, weights, sessions: nodeSessions(weights, options), half });
  }
  const { path, precision } = files.quantised;
  const file = await modelFile(path);
  return loadClip({
    config,
    weights,
    sessions: nodeSessions(file, options),
    quantised: { file, precision },
  });
}
