import { access, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { readMatrix, readTargets } from '../../src/embeddings/arrays.ts';
import { messageOf, UsageError } from '../../src/errors.ts';
import type { SelectEnv } from '../../src/select/env.ts';
import { openFolder } from '../io/folder.ts';
import type { Languages } from '../language/languages.ts';
import type { LidChoice } from '../language/models.ts';
import { packageRoot } from '../package-root.ts';

/** What selecting takes from Node. Nothing is loaded before a filter asks for it. */
export function createSelectEnv(options: { lid?: LidChoice; signal?: AbortSignal } = {}): SelectEnv & {
  close(): Promise<void>;
} {
  let languages: Languages | undefined;
  return {
    async languages(by) {
      languages ??= (await import('../language/languages.ts')).createLanguages(options);
      return languages.detector(by);
    },
    close: async () => languages?.close(),
    matmul: async () => (await import('../onnx/matmul.ts')).nodeMatmul(),
    entities: async () =>
      new Uint8Array(await readFile(join(packageRoot(), 'assets/wordnet/entities.txt.gz'))),
    readMatrix: async (path) => readMatrix(await ranged(path), path),
    async *readTargets(path) {
      const files = [];
      for (const name of await namesIn(path)) files.push({ file: await ranged(name), name });
      yield* readTargets(files);
    },
    async readFile(path) {
      try {
        return new Uint8Array(await readFile(path));
      } catch (cause) {
        throw new UsageError(`a file that a filter names cannot be read: ${messageOf(cause)}`, {
          ...{ file: path, cause },
        });
      }
    },
  };
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function ranged(path: string) {
  return openFolder(dirname(path), { readOnly: true }).open(basename(path));
}

/**
 * The files of `a.pt,b.pt` or `in1k_*.pt`, those of a glob in the order of their names. Throws `UsageError` where one
 * is not there, or a glob matches nothing.
 */
export async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of path.split(',')) {
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
