import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readMatrix } from '../../src/embeddings/arrays.ts';
import { messageOf, UsageError } from '../../src/errors.ts';
import type { Folder } from '../../src/io/bytes.ts';
import type { SelectEnv } from '../../src/select/env.ts';
import type { Languages } from '../language/languages.ts';
import type { LidChoice } from '../language/models.ts';
import { packageRoot } from '../package-root.ts';
import { ranged, targetsOf } from './targets.ts';

/** What selecting takes from Node. Nothing is loaded before a filter asks for it. */
export function createSelectEnv(
  options: { lid?: LidChoice; folders?: readonly Folder[]; signal?: AbortSignal } = {},
): SelectEnv & {
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
    readTargets: (path, slug) => targetsOf(path, slug, options.folders ?? [], options.signal),
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
