/**
 * `npm run dev:edge`: the edge in the real workerd on this machine, ready to score.
 *
 *     npm run dev:edge                                    one Worker, the demo model in its isolate
 *     npm run dev:edge -- --model MODEL --towers bound    three Workers, each tower in its own
 *     npm run dev:edge -- --port 8788 --state DIR         another port; exported towers and local R2 kept elsewhere
 *
 * Exports the model, puts it into the local R2 and starts wrangler. Needs no Python and no account.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { getPlatformProxy } from 'wrangler';
import { fs, path } from 'zx';
import { exportModel } from '../cli/jobs/export-model.ts';
import { exportedFiles, MANIFEST_FILE } from '../src/clip/export/manifest.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'demo' },
    towers: { type: 'string', default: 'here' },
    port: { type: 'string', default: '8787' },
    state: { type: 'string' },
  },
});
const { model, towers, port } = values;
/** As wrangler's --persist-to. */
const persist = path.resolve(values.state ?? '.wrangler/state');

const CONFIGS: Record<string, string[]> = {
  here: ['wrangler.demo.toml'],
  bound: ['wrangler.toml', 'wrangler.image.toml', 'wrangler.text.toml'],
};
const configs = CONFIGS[towers];
if (configs === undefined) throw new Error(`--towers is here or bound, not ${towers}`);

process.env['WRANGLER_SEND_METRICS'] = 'false';
process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false';

const folder = path.resolve(values.state ?? '.cache', 'edge', model.replaceAll(/[^\w.-]+/g, '_'));
const { manifest } = await exportModel({ model, out: folder }, { onNote: (note) => console.log(note) });
await upload();
console.log(`${manifest.name} in ${manifest.precision}; try it at http://127.0.0.1:${port}/`);

const args = configs.flatMap((config) => ['-c', config]);
const started = spawn(
  'wrangler',
  ['dev', ...args, '--port', port, '--persist-to', persist, '--var', 'OPEN:yes'],
  {
    stdio: 'inherit',
  },
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => started.kill(signal));
started.on('exit', (code) => {
  process.exitCode = code ?? 1;
});

/** Into the local R2 that `wrangler dev` reads, where it is not there already; the manifest last. */
async function upload(): Promise<void> {
  const { env, dispose } = await getPlatformProxy<{ MODELS: Bucket; MODEL: string }>({
    configPath: configs.at(-1),
    persist: { path: path.join(persist, 'v3') },
  });
  try {
    const at = (name: string) => `${env.MODEL}/${name}`;
    const before = await (await env.MODELS.get(at(MANIFEST_FILE)))?.text();
    const wanted = await fs.readFile(path.join(folder, MANIFEST_FILE), 'utf8');
    if (before === wanted) return;
    for (const { name } of exportedFiles(manifest)) {
      await env.MODELS.put(at(name), await fs.readFile(path.join(folder, name)));
    }
    await env.MODELS.put(at(MANIFEST_FILE), wanted);
  } finally {
    await dispose();
  }
}

interface Bucket {
  get(key: string): Promise<{ text(): Promise<string> } | null>;
  put(key: string, value: Uint8Array | string): Promise<unknown>;
}
