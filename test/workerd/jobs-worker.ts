/** The Worker of `jobs.worker.ts`, started and asked from a test. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unstable_startWorker } from 'wrangler';
import type { JobProgress } from '../../functions/app/job-schemas.ts';
import type { JobMessage } from '../../functions/jobs/records.ts';
import type { Fault } from './jobs.worker.ts';

export interface JobsWorker {
  url: URL;
  put(key: string, bytes: Uint8Array, bucket?: 'shards' | 'metadata'): Promise<void>;
  get(key: string): Promise<Uint8Array | undefined>;
  remove(key: string): Promise<void>;
  list(prefix: string): Promise<string[]>;
  faults(...faults: Fault[]): Promise<void>;
  send(message: JobMessage): Promise<void>;
  steps(): Promise<string[]>;
  create(
    request: unknown,
  ): Promise<{ status: number; location: string | null; job: JobProgress & { detail?: string } }>;
  job(id: string): Promise<JobProgress>;
  /** Waits until the job is finished and the folder says so. */
  finished(id: string): Promise<JobProgress>;
  /** Copies a folder out of the bucket. */
  copyOut(prefix: string, to: string): Promise<void>;
  dispose(): Promise<void>;
}

const PATIENCE_MS = 90_000;

/** @param persist where the buckets lie; queues are in memory and die with the process. */
export async function startJobsWorker(persist: string): Promise<JobsWorker> {
  process.env['WRANGLER_SEND_METRICS'] = 'false';
  process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false';
  const worker = await unstable_startWorker({
    config: 'test/workerd/jobs.toml',
    dev: {
      ...{
        server: { hostname: '127.0.0.1', port: 0 },
        inspector: false,
        watch: false,
        logLevel: 'none',
        persist,
      },
    },
  });
  await worker.ready;
  const url = await worker.url;
  const ask = async (path: string, init?: RequestInit): Promise<Response> => {
    const response = await fetch(new URL(path, url), init);
    if (!response.ok && response.status !== 404)
      throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const job = async (id: string) => (await (await ask(`/v1/jobs/${id}`)).json()) as JobProgress;
  const list = async (prefix: string) =>
    (await (await ask(`/test/list/metadata?prefix=${encodeURIComponent(prefix)}`)).json()) as string[];
  const get = async (key: string) => {
    const response = await ask(`/test/object/metadata/${key}`);
    return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
  };
  return {
    url,
    job,
    list,
    get,
    async put(key, bytes, bucket = 'shards') {
      await ask(`/test/object/${bucket}/${key}`, { method: 'PUT', body: new Uint8Array(bytes) });
    },
    async remove(key) {
      await ask(`/test/object/metadata/${key}`, { method: 'DELETE' });
    },
    async faults(...faults) {
      await ask('/test/object/metadata/test/faults.json', { method: 'PUT', body: JSON.stringify(faults) });
    },
    async send(message) {
      await ask('/test/send', { method: 'POST', body: JSON.stringify(message) });
    },
    steps: async () => (await (await ask('/test/steps')).json()) as string[],
    async create(request) {
      const response = await fetch(new URL('/v1/jobs', url), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(request),
      });
      return {
        status: response.status,
        location: response.headers.get('location'),
        job: (await response.json()) as JobProgress,
      };
    },
    async finished(id) {
      for (const started = Date.now(); Date.now() - started < PATIENCE_MS; ) {
        const progress = await job(id);
        if (progress.state === 'finished') return progress;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      throw new Error(`the job is not finished: ${JSON.stringify(await job(id))}`);
    },
    async copyOut(prefix, to) {
      await mkdir(to, { recursive: true });
      for (const key of await list(`${prefix}/`)) {
        // A finished job still takes its parts away.
        const bytes = await get(key);
        if (bytes !== undefined) await writeFile(join(to, key.slice(prefix.length + 1)), bytes);
      }
    },
    dispose: () => worker.dispose(),
  };
}
