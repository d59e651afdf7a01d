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
import { path } from 'zx';
import { exportModel } from '../cli/jobs/export-model.ts';
import { uploadExport } from './local-r2.ts';

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
await uploadExport(folder, manifest, { config: configs[configs.length - 1], persist });
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
