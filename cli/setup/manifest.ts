/** What onnxruntime-node's own install script would fetch: its tables, which come with the package, read as data. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { z } from 'zod';
import { DeviceError, ModelError, messageOf } from '../../src/errors.ts';
import type { Machine } from '../devices/available.ts';
import { onnxruntimePackage } from '../devices/cuda-files.ts';

export interface CudaParts {
  /** The NuGet package. */
  name: string;
  version: string;
  /** Address of the feed's service index. */
  index: string;
  /** Where each library stands in the package. */
  files: { name: string; path: string }[];
}

const table = z.object({
  requirements: z.record(z.string(), z.array(z.string())),
  manifests: z.record(z.string(), z.record(z.string(), z.object({ package: z.string(), path: z.string() }))),
  packages: z.record(
    z.string(),
    z.object({ name: z.string(), versions: z.array(z.object({ feed: z.string(), version: z.string() })) }),
  ),
  feeds: z.record(z.string(), z.object({ type: z.string(), index: z.url() })),
});

const CUDA = 'cuda12';

/** Throws `DeviceError` where the runtime has no CUDA parts for this kind of machine. */
export function cudaParts({ platform, arch }: Machine, root = onnxruntimePackage()): CudaParts {
  const known = readTable(root);
  const here = `${platform}/${arch}`;
  if (!known.requirements[here]?.includes(CUDA)) {
    const others = Object.keys(known.requirements).filter((name) => known.requirements[name].includes(CUDA));
    throw new DeviceError(`onnxruntime-node has no CUDA libraries for ${here.replace('/', ' ')}`, {
      hint: `It has them for ${others.map((name) => name.replace('/', ' ')).join(', ')}; --device webgpu needs none`,
    });
  }
  const manifest = Object.entries(known.manifests[`${here}:${CUDA}`] ?? {});
  const source = known.packages[manifest[0]?.[1].package ?? ''];
  const version = source?.versions[0];
  const feed = known.feeds[version?.feed ?? ''];
  if (source === undefined || version === undefined || feed?.type !== 'nuget')
    throw strange('no package of a feed');
  const files = manifest.map(([file, { path }]) => ({ name: plainName(file), path }));
  return { name: source.name, version: version.version, index: feed.index, files };
}

function readTable(root: string): z.infer<typeof table> {
  try {
    const read: unknown = createRequire(import.meta.url)(join(root, 'script', 'install-metadata.js'));
    return table.parse(read);
  } catch (cause) {
    throw strange(messageOf(cause), cause);
  }
}

function plainName(file: string): string {
  const name = file.replace(/^\.\//, '');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw strange(`a file called ${JSON.stringify(file)}`);
  return name;
}

function strange(what: string, cause?: unknown): ModelError {
  return new ModelError(`onnxruntime-node's list of what to install is not as it was: ${what}`, {
    cause,
    hint: 'Run its own install script: npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12',
  });
}
