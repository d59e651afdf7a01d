import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { VERSION } from '../src/version.ts';
import { scratch } from './helpers/tmp.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..');
const folder = await scratch();

interface PackageJson {
  version: string;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

let packed: string[];
/** An empty project with the packed package in it, its dependencies those of this checkout. */
const project = join(folder, 'project');
const installed = join(project, 'node_modules/shardsieve');

beforeAll(async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT });
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [
    { filename: string; files: { path: string }[] },
  ];
  packed = files.map(({ path }) => path);
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', join(folder, filename), '-C', installed, '--strip-components=1']);
  await symlink(join(ROOT, 'node_modules'), join(installed, 'node_modules'));
  await writeFile(join(project, 'package.json'), '{"type": "module"}');
  // Compiles, and bundles three Workers.
}, 300_000);

test('the package holds what runs and nothing of the tests, tools or sources', () => {
  expect(packed).toContain('cli/shardsieve.js');
  expect(packed).toContain('dist/cli/main.js');
  expect(packed).toContain('dist/cli/index.d.ts');
  expect(packed).toContain('assets/clip-vocab/merges.txt.gz');
  expect(packed).toContain('assets/wordnet/entities.txt.gz');
  expect(packed).toContain('assets/wordnet/LICENSE');
  for (const worker of ['front', 'image', 'text']) expect(packed).toContain(`dist/workers/${worker}.json`);
  expect(packed).toContain('demo/model/open_clip_model.safetensors');
  expect(packed.filter((path) => /^(test|tools|functions|src|docs|\.ci)\//.test(path))).toEqual([]);
  expect(packed.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).toEqual([]);
});

test('the packed command runs in an empty folder: help, the demo, the library', async () => {
  const command = join(installed, 'cli/shardsieve.js');
  const help = await run(process.execPath, [command, '--help'], { cwd: project });
  expect(help.stdout).toContain('shardsieve');
  expect(help.stdout).toContain('filter');
  const demo = await run(process.execPath, [command, 'demo', '--quiet', '--json'], { cwd: project });
  const summary = JSON.parse(demo.stdout) as {
    seen: number;
    scored: number;
    safe: { kept: number; total: number; dropped: { [head: string]: number } };
  };
  const { safe } = summary;
  expect(Object.keys(safe.dropped)).toEqual(['demo_concepts', 'nsfwjs']);
  for (const dropped of Object.values(safe.dropped)) {
    expect(dropped).toBeGreaterThan(0);
    expect(dropped).toBeLessThanOrEqual(safe.total - safe.kept);
  }
  expect(summary.scored).toBeGreaterThan(300);
  expect(summary.scored).toBe(summary.seen);
  await writeFile(
    join(project, 'use.js'),
    "import { selectSubset } from 'shardsieve';\nimport { createTokenizer } from 'shardsieve/core';\n" +
      "import { ShardsieveClient } from 'shardsieve/client';\n" +
      "const { total } = await selectSubset({ metadata: 'shardsieve-demo/metadata', fraction: 0.5, out: 'subset.npy' });\n" +
      'console.log(JSON.stringify({ total, core: typeof createTokenizer, client: new ShardsieveClient({ endpoint: "http://x/" }).endpoint }));\n',
  );
  const used = await run(process.execPath, ['use.js'], { cwd: project });
  expect(JSON.parse(used.stdout)).toEqual({
    total: summary.scored,
    core: 'function',
    client: 'http://x',
  });
  // Detectors run in threads from compiled files, and find their models where npm puts them.
  const lang = ['annotate', 'shardsieve-demo/metadata', '--lang', 'fasttext,cld3', '--quiet', '--json'];
  const annotated = await run(process.execPath, [command, ...lang], { cwd: project });
  expect(JSON.parse(annotated.stdout)).toMatchObject({
    rows: summary.scored,
    groups: [
      { group: 'language:fasttext', unjudged: 0 },
      { group: 'language:cld3', unjudged: 0 },
    ],
  });
}, 180_000);

test('a Node that is too old is told so plainly, before anything else is loaded', async () => {
  const old = join(folder, 'old.cjs');
  await writeFile(
    old,
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.11.1' } });",
  );
  const lonely = join(folder, 'lonely/cli');
  await mkdir(lonely, { recursive: true });
  await cp(join(ROOT, 'cli/shardsieve.js'), join(lonely, 'shardsieve.mjs'));
  const failed = await run(process.execPath, ['--require', old, join(lonely, 'shardsieve.mjs')]).catch(
    (error) => error,
  );
  expect(failed.code).toBe(2);
  expect(failed.stderr).toContain('needs Node 22.19 or newer; this is Node 20.11.1');
});

test('what must agree agrees: versions, and nothing unused among the dependencies', async () => {
  const json = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as PackageJson;
  expect(json.version).toBe(VERSION);
  const { stdout } = await run(
    'git',
    [
      'grep',
      '-hoE',
      '(from |import |import\\()[\'"][^\'".][^\'"]*[\'"]',
      '--',
      'src',
      'cli',
      'functions/app',
    ],
    {
      cwd: ROOT,
    },
  );
  const used = new Set(
    stdout
      .split('\n')
      .map((line) => /['"]((?:@[^/'"]+\/)?[^/'"]+)/.exec(line)?.[1] ?? '')
      .filter((name) => name !== '' && !name.startsWith('node:') && name !== 'shardsieve'),
  );
  expect([...used].sort()).toEqual(Object.keys(json.dependencies).sort());
});
