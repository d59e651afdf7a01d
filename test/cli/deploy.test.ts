import { chmod, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { exportModel } from '../../cli/jobs/export-model.ts';
import type { ExportManifest } from '../../src/clip/export/manifest.ts';
import { cli } from '../helpers/cli.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const towers = join(folder, 'towers');
const workers = join(folder, 'workers');
const bin = join(folder, 'bin');
const log = join(folder, 'log.jsonl');
let manifest: ExportManifest;

/** Notes what it is called with, keeps what it is given to deploy, and answers as `state.json` says. */
const FAKE = `#!${process.execPath}
const fs = require('node:fs');
const { join, dirname } = require('node:path');
const args = process.argv.slice(2);
const state = JSON.parse(fs.readFileSync(${JSON.stringify(join(folder, 'state.json'))}, 'utf8'));
const at = args.indexOf('-c');
const config = at < 0 ? undefined : JSON.parse(fs.readFileSync(args[at + 1], 'utf8'));
const files = at < 0 ? undefined : fs.readdirSync(dirname(args[at + 1])).sort();
fs.appendFileSync(${JSON.stringify(log)}, JSON.stringify({ args, config, files }) + '\\n');
if (args[0] === 'whoami') console.log(state.whoami);
if (args[1] === 'info' || args[2] === 'info') process.exit(state.there.includes(args.at(-1)) ? 0 : 1);
if (args[0] === 'deploy' && config.name === 'pool') console.log('Published\\n  https://pool.me.workers.dev');
if (args.join(' ').includes(state.fails)) { console.error('X [ERROR] no: ' + state.fails); process.exit(1); }
`;

beforeAll(async () => {
  const env = { ...process.env, SHARDSIEVE_QUANTISED: join(folder, 'quantised') };
  ({ manifest } = await exportModel(
    { model: 'demo', out: towers, heads: ['concepts:demo/concepts.yaml'] },
    { env },
  ));
  await mkdir(workers);
  await mkdir(bin);
  const buckets = [{ binding: 'MODELS', bucket_name: 'shardsieve-models' }];
  const bundle = (main: string, config: object) => JSON.stringify({ main, modules: ['1-ort.wasm'], config });
  await writeFile(
    join(workers, 'front.json'),
    bundle('worker.js', {
      name: 'shardsieve',
      vars: { TOWERS: 'bound', MODEL: 'model' },
      services: [{ binding: 'IMAGE_TOWER', service: 'shardsieve-image' }],
      assets: { directory: 'web', binding: 'ASSETS' },
      r2_buckets: [...buckets, { binding: 'SHARDS', bucket_name: 'shardsieve-shards' }],
      queues: {
        producers: [{ binding: 'JOBS', queue: 'shardsieve-jobs' }],
        consumers: [{ queue: 'shardsieve-jobs', dead_letter_queue: 'shardsieve-jobs-dead' }],
      },
    }),
  );
  for (const tower of ['image', 'text']) {
    const config = { name: `shardsieve-${tower}`, vars: { MODEL: 'model' }, r2_buckets: buckets };
    await writeFile(join(workers, `${tower}.json`), bundle(`${tower}.js`, config));
  }
  for (const name of ['worker.js', 'image.js', 'text.js', '1-ort.wasm'])
    await writeFile(join(workers, name), '');
  await writeFile(join(bin, 'wrangler'), FAKE);
  await chmod(join(bin, 'wrangler'), 0o755);
});

const ACCOUNT = '0123456789abcdef0123456789abcdef';
const answers = (state: { whoami?: string; there?: string[]; fails?: string }) =>
  writeFile(
    join(folder, 'state.json'),
    JSON.stringify({ whoami: `You are logged in\n│ Me │ ${ACCOUNT} │`, there: [], fails: '?', ...state }),
  );
beforeEach(async () => {
  await writeFile(log, '');
  await answers({});
});

const deploy = (...flags: string[]) =>
  cli(['deploy', 'workers', towers, ...flags], {
    cwd: folder,
    env: { PATH: `${bin}:${process.env['PATH']}`, SHARDSIEVE_WORKERS: workers },
  });

interface Call {
  args: string[];
  config?: Record<string, unknown> & { vars?: Record<string, string> };
  files?: string[];
}
const calls = async (): Promise<Call[]> =>
  (await readFile(log, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Call);

test('a model and its Workers are deployed: what is lacking is made, towers before the front, the manifest last', async () => {
  await answers({ there: ['pool-models'] });
  const { code, stdout, stderr } = await deploy('--name', 'pool');
  expect([code, stdout]).toEqual([
    0,
    expect.stringContaining('demo is deployed at https://pool.me.workers.dev'),
  ]);
  expect(stdout).toContain('wrangler secret put API_KEYS --name pool');
  expect(stderr).toContain('bucket pool-models: there already');
  const made = await calls();
  // Other heads lie elsewhere, as other towers do.
  const prefix = made.at(-1)?.config?.vars?.['MODEL'] ?? '';
  const towersAt = `models/demo_int8_accurate/${manifest.fingerprint}`;
  expect(prefix).toMatch(new RegExp(`^${towersAt}-heads-[0-9a-f]{32}$`));
  const put = (name: string) =>
    `r2 object put pool-models/${prefix}/${name} --file ${join(towers, name)} --remote`;
  expect(made.map(({ args }) => args.slice(0, args[0] === 'deploy' ? 2 : undefined).join(' '))).toEqual([
    'whoami',
    'r2 bucket info pool-models',
    'r2 bucket info pool-shards',
    'r2 bucket create pool-shards',
    'queues info pool-jobs',
    'queues create pool-jobs',
    'queues info pool-jobs-dead',
    'queues create pool-jobs-dead',
    ...['image.ort', 'text.ort', 'table.f16', 'heads/demo_concepts.safetensors', 'manifest.json'].map(put),
    ...['deploy --no-bundle', 'deploy --no-bundle', 'deploy --no-bundle'],
  ]);
  const [image, text, front] = made.slice(-3);
  expect([image.config?.['name'], text.config?.['name']]).toEqual(['pool-image', 'pool-text']);
  expect(image.files).toEqual(['1-ort.wasm', 'image.js', 'wrangler.json']);
  expect(image.config).toMatchObject({ main: 'image.js', no_bundle: true, vars: { MODEL: prefix } });
  expect(front.config).toMatchObject({
    name: 'pool',
    vars: { TOWERS: 'bound', MODEL: prefix },
    services: [{ binding: 'IMAGE_TOWER', service: 'pool-image' }],
    assets: { directory: join(import.meta.dirname, '../../web') },
    queues: {
      producers: [{ queue: 'pool-jobs' }],
      consumers: [{ queue: 'pool-jobs', dead_letter_queue: 'pool-jobs-dead' }],
    },
  });
});

test('variables reach the Worker they are for, beside those that were set before', async () => {
  const flags = ['--var', 'CORS_ORIGINS=https://a.example,https://b.example:8443', '--var', 'TOWERS=remote'];
  const { code, stdout } = await deploy(...flags, '--var', 'text:WASM_MIB=58', '--var', 'OPEN=yes');
  expect([code, stdout]).toEqual([0, expect.stringContaining('It is open')]);
  const [image, text, front] = (await calls()).slice(-3).map(({ config }) => config);
  const MODEL = expect.stringContaining(`models/demo_int8_accurate/${manifest.fingerprint}-heads-`);
  expect(image).toMatchObject({ vars: { MODEL }, keep_vars: true });
  expect(image?.['vars']).not.toHaveProperty('WASM_MIB');
  expect(text?.['vars']).toEqual({ MODEL, WASM_MIB: '58' });
  expect(front?.['vars']).toEqual({
    ...{ MODEL, TOWERS: 'remote', OPEN: 'yes' },
    CORS_ORIGINS: 'https://a.example,https://b.example:8443',
  });
});

test.each([
  ['lower=1', 'no variable'],
  ['back:OPEN=yes', 'no variable'],
  ['MODEL=other', 'set by deploying'],
  ['image:TOWER_KEY=hush', 'secret put TOWER_KEY'],
  ['image:WASM_MIB=many', 'no whole number'],
  ['image:WASM_MIB=10', 'its Worker has 10'],
])('--var %s is refused', async (one, said) => {
  const { code, stderr } = await deploy('--dry-run', '--var', one);
  expect([code, stderr]).toEqual([2, expect.stringContaining(said)]);
  expect(stderr).not.toContain('hush');
});

test('a dry run prints every command and calls nobody', async () => {
  const { code, stdout } = await deploy('--dry-run');
  expect(code).toBe(0);
  const lines = stdout.trim().split('\n');
  expect(lines[0]).toBe(
    'wrangler r2 bucket info shardsieve-models || wrangler r2 bucket create shardsieve-models',
  );
  expect(lines.at(-1)).toBe('wrangler deploy --no-bundle -c WORKERS/front/wrangler.json');
  expect(lines).toHaveLength(2 + 2 + 5 + 3);
  expect(await calls()).toEqual([]);
});

test('who is not logged in, or in several accounts, is told before anything is touched', async () => {
  await answers({ whoami: 'You are not authenticated. Please run `wrangler login`.' });
  const out = await deploy();
  expect([out.code, out.stderr]).toEqual([2, expect.stringContaining('wrangler login')]);
  await answers({ whoami: `│ A │ ${ACCOUNT} │\n│ B │ ${ACCOUNT.replace('0', 'f')} │` });
  const two = await deploy();
  expect([two.code, two.stderr]).toEqual([2, expect.stringContaining('CLOUDFLARE_ACCOUNT_ID')]);
  expect((await calls()).map(({ args }) => args[0])).toEqual(['whoami', 'whoami']);
});

test('what fails is told in wrangler’s words, and nothing after it is done', async () => {
  await answers({ fails: 'text.ort' });
  const { code, stderr } = await deploy();
  expect([code, stderr]).toEqual([1, expect.stringContaining('[ERROR] no: text.ort')]);
  expect((await calls()).some(({ args }) => args[0] === 'deploy')).toBe(false);
});

test('names that are none, folders that hold no towers, damaged and too large ones are refused', async () => {
  expect((await deploy('--name', 'Über')).stderr).toContain('cannot name a Worker');
  const nothing = await cli(['deploy', 'workers', bin], { env: { SHARDSIEVE_WORKERS: workers } });
  expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('models export MODEL')]);
  const unbuilt = await cli(['deploy', 'workers', towers], { env: { SHARDSIEVE_WORKERS: bin } });
  expect([unbuilt.code, unbuilt.stderr]).toEqual([2, expect.stringContaining('npm run build')]);
  const file = join(towers, 'manifest.json');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace(/("image\.ort",\s+"bytes": )\d+/, `$1${200 * 2 ** 20}`));
  const large = await deploy('--dry-run');
  expect([large.code, large.stderr]).toEqual([2, expect.stringContaining('214 MiB')]);
  await writeFile(file, text);
  await truncate(join(towers, 'table.f16'), 1000);
  expect((await deploy('--dry-run')).stderr).toContain('not the one that was exported');
  expect((await filesOf(folder)).size).toBeGreaterThan(5);
});
