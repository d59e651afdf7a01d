/** The Workers as they are published: bundled once, so that deploying them takes wrangler and nothing else. */
import { unstable_readConfig } from 'wrangler';
import { $, fs, path } from 'zx';
import type { WorkerBundle } from '../cli/deploy/bundles.ts';

const CONFIGS = { front: 'wrangler.toml', image: 'wrangler.image.toml', text: 'wrangler.text.toml' };
/** What of a config says how a Worker runs; the rest is how it is built here. */
const KEPT = new Set([
  ...['name', 'compatibility_date', 'compatibility_flags', 'workers_dev', 'preview_urls', 'vars', 'services'],
  ...['assets', 'r2_buckets', 'queues', 'ratelimits', 'limits', 'triggers', 'send_metrics'],
]);

/** Writes the three bundles' files into `out`, each once, and `<worker>.json` beside them. */
export async function buildWorkers(out: string): Promise<void> {
  await fs.mkdirp(out);
  const env = { ...process.env, WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false' };
  for (const [worker, file] of Object.entries(CONFIGS)) {
    const folder = path.join(out, `${worker}.tmp`);
    await $({ env, quiet: true })`wrangler deploy --dry-run --minify -c ${file} --outdir ${folder}`;
    const files: string[] = await fs.readdir(folder);
    const names = files.filter((name) => !/\.map$|^README\.md$/.test(name));
    // Modules are named by their hash, so those of several Workers are one file.
    for (const name of names)
      await fs.move(path.join(folder, name), path.join(out, name), { overwrite: true });
    await fs.rm(folder, { recursive: true });
    const main = names.find((name) => name.endsWith('.js'));
    if (main === undefined) throw new Error(`${file} gave no script: ${names.join(', ')}`);
    const config = Object.entries(unstable_readConfig({ config: file }));
    const bundle: WorkerBundle = {
      main,
      modules: names.filter((name) => name !== main).sort(),
      config: Object.fromEntries(config.filter(([key, value]) => KEPT.has(key) && value !== undefined)),
    };
    await fs.writeFile(path.join(out, `${worker}.json`), `${JSON.stringify(bundle, null, 2)}\n`);
  }
}
