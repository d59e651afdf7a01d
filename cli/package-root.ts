/**
 * Where the installed package lies: files run from `cli/` in a checkout and from `dist/cli/` when installed, so
 * what ships beside them (the demo model, the vocabulary) is found from the package's own `package.json`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModelError, messageOf } from '../src/errors.ts';

const PACKAGE_NAME = 'shardsieve';

/** The folder of the nearest `package.json` named `shardsieve`, from `start` upwards. Throws `ModelError`. */
export function packageRoot(start: string = dirname(fileURLToPath(import.meta.url))): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (isPackage(join(folder, 'package.json'))) return folder;
    if (dirname(folder) === folder) {
      throw new ModelError('the folder of the shardsieve package was not found', {
        file: start,
        hint: 'Reinstall shardsieve: what ships with it (the demo model among it) is looked for there',
      });
    }
  }
}

function isPackage(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof parsed === 'object' && parsed !== null && 'name' in parsed && parsed.name === PACKAGE_NAME;
  } catch (error) {
    throw new ModelError(`cannot read a package.json: ${messageOf(error)}`, { file: path, cause: error });
  }
}
