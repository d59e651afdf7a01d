/** CLIP's merges, which ship with the package. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ModelError, messageOf } from '../src/errors.ts';
import { packageRoot } from './package-root.ts';

const MERGES = join('assets', 'clip-vocab', 'merges.txt.gz');

/** The text that `createTokenizer` takes. Throws `ModelError` where the file is missing or broken. */
export async function loadMerges(): Promise<string> {
  const file = join(packageRoot(), MERGES);
  try {
    return gunzipSync(await readFile(file)).toString('utf8');
  } catch (error) {
    throw new ModelError(`cannot read CLIP's vocabulary: ${messageOf(error)}`, {
      file,
      hint: 'Reinstall shardsieve: the file ships with it',
      cause: error,
    });
  }
}
