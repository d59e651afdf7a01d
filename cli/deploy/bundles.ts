/** The Workers that ship with the package, bundled: `dist/workers`, made by `npm run build`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../src/errors.ts';
import { packageRoot } from '../package-root.ts';

export const WORKERS = ['image', 'text', 'front'] as const;
export type WorkerName = (typeof WORKERS)[number];

/** Of wrangler's configuration, what is changed or read here. */
export interface WorkerConfig {
  name: string;
  vars?: Record<string, string>;
  services?: { binding: string; service: string }[];
  assets?: { directory: string };
  r2_buckets?: { binding: string; bucket_name: string }[];
  queues?: {
    producers?: { queue: string }[];
    consumers?: { queue: string; dead_letter_queue?: string }[];
  };
}

export interface WorkerBundle {
  /** The script, and the modules that it imports, beside it. */
  main: string;
  modules: string[];
  config: Record<string, unknown>;
}

export interface ReadyBundle extends WorkerBundle {
  config: WorkerConfig & Record<string, unknown>;
}

export type Bundles = Readonly<Record<WorkerName, ReadyBundle>>;

/** `SHARDSIEVE_WORKERS`, for Workers that somebody built, else those of the package. */
export function bundlesFolder(env: NodeJS.ProcessEnv = process.env): string {
  return env['SHARDSIEVE_WORKERS'] || join(packageRoot(), 'dist', 'workers');
}

/** Throws `UsageError` where they were not built. */
export async function readBundles(folder: string): Promise<Bundles> {
  const read = async (worker: WorkerName): Promise<ReadyBundle> => {
    const file = join(folder, `${worker}.json`);
    try {
      return JSON.parse(await readFile(file, 'utf8')) as ReadyBundle;
    } catch (cause) {
      throw new UsageError('the Workers are not here', {
        file,
        cause,
        hint: 'They ship with the package; in a checkout run npm run build first',
      });
    }
  };
  const [image, text, front] = await Promise.all(WORKERS.map(read));
  return { image, text, front };
}
