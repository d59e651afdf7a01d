/** The CUDA parts of onnxruntime-node: which files they are, where they lie, and what they need of the system. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const require = createRequire(import.meta.url);

const SHARED = 'libonnxruntime_providers_shared.so';
const LIBRARIES = {
  cuda: 'libonnxruntime_providers_cuda.so',
  tensorrt: 'libonnxruntime_providers_tensorrt.so',
} as const;
export const CUDA_FILES = [LIBRARIES.cuda, SHARED, LIBRARIES.tensorrt] as const;

/** The root of the package whose binary this process loads. */
export function onnxruntimePackage(): string {
  return dirname(require.resolve('onnxruntime-node/package.json'));
}

/** Where onnxruntime-node's binary lies, and looks for the libraries of its providers. */
export function onnxruntimeFolder(root = onnxruntimePackage()): string {
  return join(root, 'bin', 'napi-v6', process.platform, process.arch);
}

/** The files and their sizes in bytes; no size where one is not there. */
export async function cudaFiles(folder: string): Promise<{ name: string; size: number | undefined }[]> {
  return Promise.all(
    CUDA_FILES.map(async (name) => ({
      name,
      size: await stat(join(folder, name)).then(
        ({ size }) => size,
        () => undefined,
      ),
    })),
  );
}

/** Shared libraries that the loader does not find for a provider, by `ldd`; none where that cannot be asked. */
export async function missingLibraries(kind: 'cuda' | 'tensorrt', folder: string): Promise<string[]> {
  const missing = new Set<string>();
  for (const library of kind === 'cuda' ? [LIBRARIES.cuda] : [LIBRARIES.cuda, LIBRARIES.tensorrt]) {
    const { stdout } = await run('ldd', [join(folder, library)]).catch(() => ({ stdout: '' }));
    for (const [, name] of stdout.matchAll(/^\s*(\S+) => not found$/gm)) {
      // The binary has loaded this one by the time the provider asks for it.
      if (!name.startsWith('libonnxruntime')) missing.add(name);
    }
  }
  return [...missing];
}
