/**
 * Quantised checkpoints on this machine: `<cache>/shardsieve/quantised/<key>/<sha256>.safetensors`. The key stands for
 * all that a file was made from; its name is the hash of its bytes, so that damage is seen before it is used.
 */
import { createHash } from 'node:crypto';
import { readdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ClipConfig } from '../../src/clip/config.ts';
import { type CalibrationInput, calibrate } from '../../src/clip/int8/calibrate.ts';
import { QUANTISER_VERSION } from '../../src/clip/int8/file.ts';
import { writeQuantised } from '../../src/clip/int8/write.ts';
import { CancelledError, messageOf, OutputError } from '../../src/errors.ts';
import { fingerprint } from '../../src/run/fingerprint.ts';
import type { Env } from '../hub/settings.ts';
import { openFolder } from '../io/folder.ts';
import { modelFile, sha256File } from '../onnx/files.ts';
import { nodeSessions } from '../onnx/session.ts';

/** What a quantised checkpoint is made from; all of it decides its bytes. */
export interface QuantisedFrom {
  weights_sha256: string;
  model_cfg: string;
  preprocess_fingerprint: string;
  /** Hash of the pictures and captions. */
  calibration: string;
}

export interface QuantiseParts {
  from: QuantisedFrom;
  config: ClipConfig;
  weightsPath: string;
  /** Asked for only where there is no file yet. */
  input(): Promise<CalibrationInput>;
  threads?: number;
}

export interface QuantiseContext {
  env?: Env;
  onNote?: (text: string) => void;
  signal?: AbortSignal;
}

const ENDING = '.safetensors';
const NAME = /^[0-9a-f]{64}\.safetensors$/;

export interface Quantised {
  path: string;
  /** Of the file's bytes. */
  sha256: string;
}

/** `SHARDSIEVE_QUANTISED`, else `shardsieve/quantised` in the user's cache. */
export function quantisedFolder(env: Env = process.env): string {
  if (env.SHARDSIEVE_QUANTISED) return resolve(env.SHARDSIEVE_QUANTISED);
  const home = env.HOME || env.USERPROFILE || homedir();
  return join(env.XDG_CACHE_HOME || join(home, '.cache'), 'shardsieve', 'quantised');
}

/**
 * The quantised checkpoint, from the cache or made now: the model is run in float32 on the calibration's pairs, which
 * takes seconds. A damaged file is told and made again. Throws `ModelError`, `OutputError`, `CancelledError`.
 */
export async function quantisedCheckpoint(
  parts: QuantiseParts,
  { env, onNote, signal }: QuantiseContext = {},
): Promise<Quantised> {
  const key = fingerprint({ kind: 'int8', version: QUANTISER_VERSION, ...parts.from });
  const folder = join(quantisedFolder(env), key);
  const cached = openFolder(folder);
  for (const name of (await readdir(folder).catch((): string[] => [])).sort()) {
    if (!NAME.test(name)) continue;
    const path = join(folder, name);
    const sha256 = await sha256File(path, signal);
    if (name === `${sha256}${ENDING}`) return { path, sha256 };
    onNote?.(`the quantised weights ${path} are damaged, and are made again`);
    await cached.remove(name);
  }
  onNote?.('quantising the weights, once for this model and these calibration pictures');
  try {
    return await make(parts, folder, signal);
  } catch (cause) {
    if (!(cause instanceof OutputError)) throw cause;
    throw new OutputError(`the quantised weights cannot be kept: ${messageOf(cause.cause ?? cause)}`, {
      file: folder,
      cause,
      hint: 'Set SHARDSIEVE_QUANTISED to a folder that can be written and has room for half of the weights',
    });
  }
}

async function make(
  parts: QuantiseParts,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Quantised> {
  const { config, weightsPath, threads } = parts;
  const file = await modelFile(weightsPath);
  const sessions = nodeSessions(file, threads === undefined ? {} : { threads });
  const ranges = await calibrate({ config, file, sessions }, await parts.input(), signal);
  const cached = openFolder(folder);
  // Its name is known when its last byte is: it is written whole under another one first.
  const provisional = `making-${process.pid}`;
  const sink = await cached.create(provisional);
  const hash = createHash('sha256');
  try {
    await writeQuantised(
      { config, file, ranges, made: { ...parts.from } },
      {
        async write(chunk) {
          if (signal?.aborted) throw new CancelledError('stopped while quantising the model');
          hash.update(chunk);
          await sink.write(chunk);
        },
      },
    );
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
  const sha256 = hash.digest('hex');
  const path = join(folder, `${sha256}${ENDING}`);
  await rename(join(folder, provisional), path);
  return { path, sha256 };
}
