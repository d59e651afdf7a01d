import { readFile } from 'node:fs/promises';
import { messageOf, UsageError } from '../../src/errors.ts';
import type { SelectEnv } from '../../src/select/env.ts';

/** What selecting takes from Node. Nothing is loaded before a filter asks for it. */
export function createSelectEnv(): SelectEnv {
  return {
    matmul: async () => (await import('../onnx/matmul.ts')).nodeMatmul(),
    async readFile(path) {
      try {
        return new Uint8Array(await readFile(path));
      } catch (cause) {
        throw new UsageError(`a file that a filter names cannot be read: ${messageOf(cause)}`, {
          file: path,
          cause,
        });
      }
    },
  };
}
