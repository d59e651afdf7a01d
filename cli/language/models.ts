/** fastText's language models: the compressed one that ships with the library, the full one, or a file. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { ModelError, messageOf } from '../../src/errors.ts';
import { downloadPinned, type PinnedOptions } from '../hub/pinned.ts';

const require = createRequire(import.meta.url);

/** Lies in fasttext.wasm.js 1.0.0; the one of fasttext.cc. */
const COMPRESSED = 'fasttext.wasm.js/dist/models/language-identification/assets/lid.176.ftz';

/** The model of DataComp's baselines; address and hash are those of its `baselines/utils.py`. */
export const FULL_MODEL = {
  name: 'lid.176.bin',
  url: 'https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin',
  sha256: '7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e',
};

/** `compressed`, `full`, or the path of a fastText model. */
export type LidChoice = 'compressed' | 'full' | (string & {});

export interface LidModel {
  path: string;
  /** For people and `run.json`. */
  name: string;
  /** Hex, of the file. */
  sha256: string;
}

/** Finds the model, downloading the full one where it is not cached. Throws `ModelError`, `DownloadError`. */
export async function findLidModel(choice: LidChoice, options: PinnedOptions = {}): Promise<LidModel> {
  if (choice === 'full') {
    const { path } = await downloadPinned(FULL_MODEL, options);
    return { path, name: FULL_MODEL.name, sha256: FULL_MODEL.sha256 };
  }
  if (choice === 'compressed') {
    const path = require.resolve(COMPRESSED);
    return { path, name: 'lid.176.ftz', sha256: await sha256Of(path) };
  }
  const sha256 = await sha256Of(choice);
  return {
    path: choice,
    name: sha256 === FULL_MODEL.sha256 ? FULL_MODEL.name : 'a model by its file',
    sha256,
  };
}

/** The hash of the model that `findLidModel` would give; the full one is not downloaded for it. Throws `ModelError`. */
export async function lidHash(choice: LidChoice): Promise<string> {
  return choice === 'full' ? FULL_MODEL.sha256 : (await findLidModel(choice)).sha256;
}

/** The version of an installed library, part of what decides its answers. */
export function libraryVersion(name: 'fasttext.wasm.js' | 'cld3-asm'): string {
  const { version } = require(`${name}/package.json`) as { version: string };
  return version;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (cause) {
    throw new ModelError(`the language model cannot be read: ${messageOf(cause)}`, {
      file: path,
      hint: '--lid is compressed, full, or the path of a fastText model',
      cause,
    });
  }
  return hash.digest('hex');
}
