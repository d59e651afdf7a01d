import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTestHarness, type TestHarness, type TestHarnessOptions } from 'wrangler';
import { exportedFiles, MANIFEST_FILE, parseManifest } from '../../src/clip/export/manifest.ts';

/** Workers by their config files, from the repository's root, in the real workerd on a free port of 127.0.0.1. */
export async function startEdge(
  workers: TestHarnessOptions['workers'],
): Promise<{ url: string; server: TestHarness }> {
  process.env['WRANGLER_SEND_METRICS'] = 'false';
  process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false';
  const server = createTestHarness({ root: join(import.meta.dirname, '../..'), workers });
  const { url } = await server.listen();
  return { url: url.href.replace(/\/$/, ''), server };
}

/** What `wrangler r2 object put` does: an exported folder into the bucket that a Worker is bound to. */
export async function uploadTowers(server: TestHarness, worker: string, folder: string): Promise<void> {
  const { MODELS } = await server.getWorker<{ MODELS: Bucket }>(worker).getEnv();
  const manifest = parseManifest(await readFile(join(folder, MANIFEST_FILE), 'utf8'), folder);
  for (const name of [MANIFEST_FILE, ...exportedFiles(manifest).map((file) => file.name)]) {
    await MODELS.put(`model/${name}`, await readFile(join(folder, name)));
  }
}

interface Bucket {
  put(key: string, value: Uint8Array): Promise<unknown>;
}
