/** From a published file to a head of this machine, bound to the weights whose embeddings it takes. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { parseClipConfig } from '../../src/clip/config.ts';
import { DownloadError, ModelError, messageOf, UsageError } from '../../src/errors.ts';
import { parseNpyHeader } from '../../src/metadata/npy.ts';
import { MAX_HEAD_BYTES } from '../../src/safety/heads/file.ts';
import type { Head, HeadSpace } from '../../src/safety/heads/head.ts';
import type { KnownHead } from '../../src/safety/heads/known.ts';
import { importPublished } from '../../src/safety/heads/published.ts';
import { type DownloadOptions, fileSha256 } from '../hub/download.ts';
import { wantModels } from '../jobs/models.ts';
import { WEIGHTS_FILE } from '../models/files.ts';
import { resolveModel } from '../models/resolve.ts';
import { headOfConcepts } from './concepts.ts';
import { downloadHead } from './download.ts';

export interface ImportChoice {
  /** Whose embeddings the head takes; not for published heads, which are known. */
  model?: string;
  name?: string;
}

/** Imports a file. Throws `ModelError`, `UsageError`, and for `model` what resolving a model throws. */
export async function importHead(
  path: string,
  choice: ImportChoice,
  options: DownloadOptions = {},
): Promise<Head> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) throw new ModelError('there is no such file', { file: path });
  if (/\.(ya?ml|json)$/i.test(path)) return importConcepts(path, choice, options);
  if (found.size > MAX_HEAD_BYTES)
    throw new ModelError(`the file has ${found.size} bytes, more than any head`, { file: path });
  const bytes = new Uint8Array(await readFile(path));
  return importBytes(path, bytes, choice, options);
}

/** A concept file becomes a head of one model's space. */
async function importConcepts(path: string, choice: ImportChoice, options: DownloadOptions): Promise<Head> {
  if (choice.model === undefined) {
    throw new UsageError('concepts become a head of one model: which, is not said', {
      file: path,
      hint: 'Add --model MODEL',
    });
  }
  const [wanted] = await wantModels({ models: [choice.model] }, options);
  return headOfConcepts(path, wanted);
}

/** Downloads a known head, verifies and imports it. Throws also `DownloadError`. */
export async function pullHead(known: KnownHead, options: DownloadOptions = {}): Promise<Head> {
  return importBytes(known.file, await downloadHead(known, options), {}, options);
}

async function importBytes(
  name: string,
  bytes: Uint8Array,
  choice: ImportChoice,
  options: DownloadOptions,
): Promise<Head> {
  const space = choice.model === undefined ? undefined : (await spaceOf(choice.model, options)).space;
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const head = await importPublished(
    { name, bytes, sha256 },
    { space, name: choice.name, readNpy: readFloatNpy },
  );
  return bind(head, options);
}

/** A model's embedding space: its weights' hash, its length, its preprocess. Throws what resolving a model throws. */
export async function spaceOf(
  model: string,
  options: DownloadOptions = {},
): Promise<{ space: HeadSpace; preprocessFingerprint: string }> {
  const [{ entry }] = await wantModels({ models: [model] }, options);
  const { configPath } = await resolveModel(model, options);
  const config = parseClipConfig(await readFile(configPath, 'utf8'), configPath);
  const name = String(entry['name']);
  const space = {
    name,
    dim: config.embedDim,
    weights_sha256: [String(entry['weights_sha256'])],
    models: [name],
  };
  return { space, preprocessFingerprint: String(entry['preprocess_fingerprint']) };
}

/** Records the hash of the weights that a published head's publisher only named, where it can be had. */
async function bind(head: Head, options: DownloadOptions): Promise<Head> {
  const { space } = head.info;
  if (space.weights_sha256.length > 0) return head;
  const hashes: string[] = [];
  for (const repo of space.models) {
    const hash = await fileSha256({ ...options, repo, file: WEIGHTS_FILE }).catch((error: unknown) => {
      if (!(error instanceof DownloadError)) throw error;
      return undefined;
    });
    if (hash !== undefined) hashes.push(hash);
  }
  if (hashes.length === 0) {
    options.onNote?.(
      `the hub could not be asked for the weights of ${space.models.join(', ')}: the head is bound to that name only; import it again with a connection to bind it to the weights`,
    );
    return head;
  }
  return { ...head, info: { ...head.info, space: { ...space, weights_sha256: hashes } } };
}

/** A row-major float32 matrix. */
function readFloatNpy(bytes: Uint8Array, name: string): { shape: readonly number[]; values: Float32Array } {
  try {
    const { descr, fortranOrder, shape, offset } = parseNpyHeader(bytes, name);
    const count = shape.reduce((product, n) => product * n, 1);
    if (descr !== '<f4' || fortranOrder || bytes.length !== offset + 4 * count)
      throw new Error(`it is ${descr} (${shape.join(', ')}), not float32 rows`);
    return { shape, values: new Float32Array(bytes.slice(offset).buffer) };
  } catch (cause) {
    throw new ModelError(`the array is no known head: ${messageOf(cause)}`, { file: name, cause });
  }
}
