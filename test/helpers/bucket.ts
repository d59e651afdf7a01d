import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getPlatformProxy } from 'wrangler';
import type { Bucket } from '../../functions/workers/bucket.ts';

/** A bucket of R2 as wrangler runs it here, empty, outside any Worker. */
export async function localBucket(): Promise<{ bucket: Bucket; dispose(): Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), 'shardsieve-r2-'));
  const { env, dispose } = await getPlatformProxy<{ METADATA: Bucket }>({
    configPath: 'test/workerd/jobs.toml',
    persist: { path: root },
  });
  return {
    bucket: env.METADATA,
    async dispose() {
      await dispose();
      await rm(root, { recursive: true, force: true });
    },
  };
}
