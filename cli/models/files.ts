/** A model folder's files, and what to say when they are not there. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError, messageOf } from '../../src/errors.ts';

export const CONFIG_FILE = 'open_clip_config.json';
export const WEIGHTS_FILE = 'open_clip_model.safetensors';
/** What open_clip saved before safetensors. Unpickling runs code, so it is never opened here. */
export const PICKLE_FILE = 'open_clip_pytorch_model.bin';

/** open_clip's configs are under 2 kB; a megabyte is somebody else's JSON. */
const MAX_CONFIG_BYTES = 1 << 20;

export const CONVERT_HINT =
  'Convert it once with the Python line in docs/models.md ("Only a pickle") and pass the folder as local-dir:PATH';

/**
 * Reads `open_clip_config.json`: an object whose `model_cfg` is an object. What stands in it is checked where the
 * towers are built. Throws `ModelError`.
 */
export async function readConfig(path: string): Promise<Record<string, unknown>> {
  const size = await sizeOf(path);
  if (size === undefined) throw new ModelError(`${CONFIG_FILE} is missing`, { file: path });
  if (size > MAX_CONFIG_BYTES) {
    throw new ModelError(`the config has ${size} bytes, more than ${MAX_CONFIG_BYTES}`, { file: path });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new ModelError(`the config cannot be read: ${messageOf(error)}`, { file: path, cause: error });
  }
  if (!isRecord(parsed) || !isRecord(parsed.model_cfg)) {
    throw new ModelError('the config has no "model_cfg" object', {
      file: path,
      hint: 'An open_clip config has "model_cfg" and "preprocess_cfg"',
    });
  }
  return parsed;
}

/** Both files of a model folder. Throws `ModelError` naming each that is missing. */
export async function findModelFiles(folder: string): Promise<{ configPath: string; weightsPath: string }> {
  const kind = await stat(folder).catch(() => undefined);
  if (kind === undefined || !kind.isDirectory()) {
    throw new ModelError(
      kind === undefined ? 'the model folder does not exist' : 'the model is not a folder',
      {
        file: folder,
        hint: `local-dir: wants a folder with ${CONFIG_FILE} and ${WEIGHTS_FILE}`,
      },
    );
  }
  const configPath = join(folder, CONFIG_FILE);
  const weightsPath = join(folder, WEIGHTS_FILE);
  const config = await sizeOf(configPath);
  const weights = await sizeOf(weightsPath);
  if (weights === undefined && (await sizeOf(join(folder, PICKLE_FILE))) !== undefined) {
    throw new ModelError(`the weights are only there as a pickle, ${PICKLE_FILE}`, {
      file: folder,
      hint: CONVERT_HINT,
    });
  }
  const missing = [config === undefined ? CONFIG_FILE : '', weights === undefined ? WEIGHTS_FILE : ''];
  const named = missing.filter((name) => name !== '');
  if (named.length > 0) {
    throw new ModelError(`the model folder lacks ${named.join(' and ')}`, {
      file: folder,
      hint: 'Both files of an open_clip repository are needed, under these names',
    });
  }
  return { configPath, weightsPath };
}

/** Bytes of a regular file (through links), `undefined` where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true ? found.size : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
