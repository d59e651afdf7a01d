import { access } from 'node:fs/promises';
import { glob, isDynamicPattern } from 'tinyglobby';
import { UsageError } from '../../src/errors.ts';

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * The files of `a.pt,b.pt` or `in1k_*.pt`, those of a glob in the order of their names. Throws `UsageError` where one
 * is not there, or a glob matches nothing.
 */
export async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  // A name with a comma in it is taken for itself.
  for (const name of (await isThere(path)) ? [path] : path.split(',')) {
    if (await isThere(name)) names.push(name);
    else if (!isDynamicPattern(name))
      throw new UsageError('a file that a filter names is not there', { file: name });
    else {
      const found = (await glob(name, { expandDirectories: false })).sort();
      if (found.length === 0) throw new UsageError(`${JSON.stringify(name)} matches no file`);
      names.push(...found);
    }
  }
  return names;
}
