import { cp, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { cli, startCli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { writeHead } from '../helpers/safety.ts';
import { scratch, withoutTimes } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');
const together = join(folder, 'together');
const bert = join(import.meta.dirname, '../fixtures/text-classifier/bert');
const concepts = join(folder, 'concepts.yaml');
let specs: string;

const score = (out: string, ...more: string[]) =>
  cli(['score', pool, '--model', 'demo', '--out', out, '--quiet', ...more]);

beforeAll(async () => {
  await writePool(pool, 3, 16);
  await writeFile(concepts, 'name: animals\nconcepts: {fox: [a red fox]}\nneutral: [the sea, a picture]\n');
  specs = `nsfwjs,hashes,words,text:local-dir:${bert},concepts:${concepts},head:${await writeHead(folder, 'first', 3)}`;
  const result = await score(together, '--safety', specs, '--threads', '1');
  expect(result.stderr).toBe('');
  expect(result.code).toBe(0);
});

describe('safety columns made in the pass that scores', () => {
  test('are those that are added later, to the byte', async () => {
    const later = join(folder, 'later');
    expect((await score(later)).stderr).toBe('');
    const added = await cli(['annotate', later, '--safety', specs, '--shards', pool, '--quiet']);
    expect(added.stderr).toBe('');
    expect(await withoutTimes(later)).toEqual(await withoutTimes(together));
    const run = JSON.parse(await readFile(join(later, 'run.json'), 'utf8'));
    expect(Object.keys(run.groups)).toEqual(
      ['animals', 'first', 'hashes', 'nsfwjs', 'punsafe', 'text_bert', 'words'].map(
        (name) => `safety:${name}`,
      ),
    );
  });

  test('are added by a second run: pictures from the shards, heads without reading one', async () => {
    const out = join(folder, 'second-run');
    await score(out);
    const [pictured, others] = ['nsfwjs,hashes', specs.replace('nsfwjs,hashes,', '')];
    const first = await score(out, '--safety', pictured, '--json');
    expect(first.stderr).toBe('');
    expect(JSON.parse(first.stdout)).toMatchObject({ scored: 48, shards: { done: 0, reused: 3 } });
    // Whoever read them now would fail.
    const saved = join(folder, 'saved');
    await cp(pool, saved, { recursive: true, preserveTimestamps: true });
    for (const name of await readdir(pool)) {
      const path = join(pool, name);
      const { size, mtime } = await stat(path);
      await writeFile(path, new Uint8Array(size).fill(7));
      await utimes(path, mtime, mtime);
    }
    const second = await score(out, '--safety', others);
    await cp(saved, pool, { recursive: true, preserveTimestamps: true });
    expect(second.stderr).toBe('');
    expect(await withoutTimes(out)).toEqual(await withoutTimes(together));
  });

  test('with another model in the same pass, the bytes do not show what came first', async () => {
    const one = ['--model', 'demo', '--slug', 'demo', '--slug', 'other'];
    const [a, b] = [join(folder, 'both'), join(folder, 'one-by-one')];
    const head = specs.split(',').at(-1)!;
    await score(a, ...one, '--safety', `nsfwjs,${head}`);
    await score(b);
    const added = await score(b, ...one, '--safety', `nsfwjs,${head}`);
    expect(added.stderr).toBe('');
    expect(await withoutTimes(b)).toEqual(await withoutTimes(a));
  });

  test('without embeddings are made all the same, but not later', async () => {
    const out = join(folder, 'bare');
    const head = specs.split(',').at(-1)!;
    const result = await score(out, '--no-embeddings', '--safety', `nsfwjs,${head}`);
    expect(result.stderr).toBe('');
    const with_ = join(folder, 'not-bare');
    await score(with_, '--safety', `nsfwjs,${head}`);
    const parquet = (path: string) => readFile(join(path, '00002.parquet'));
    expect(await parquet(out)).toEqual(await parquet(with_));
    expect(await readdir(out)).not.toContain('00002.npz');
    const later = await score(out, '--no-embeddings', '--safety', `concepts:${concepts}`);
    expect(later.code).toBe(1);
    expect(later.stderr).toContain('Score the shard with embeddings first');
  });

  test('of which only some shards have another classifier: punsafe counts nowhere else until they have it', async () => {
    const out = join(folder, 'partly');
    const [first, second] = [await writeHead(folder, 'one', 5), await writeHead(folder, 'two', 6)];
    expect((await score(out, '--safety', `head:${first}`)).code).toBe(0);
    const add = (...more: string[]) => cli(['annotate', out, '--safety', `head:${second}`, '-q', ...more]);
    expect((await add('--shard-index', '0/3')).code).toBe(0);
    const select = (...by: string[]) =>
      cli(['select', out, ...by, '--out', join(folder, 'partly.npy'), '-q', '--json']);
    for (const by of [['--safe'], ['--max-punsafe', '0.5'], ['--where', 'punsafe < 0.5']]) {
      const { code, stderr } = await select(...by);
      expect(stderr).toMatch(/(no column (nsfw_tag|punsafe)|punsafe is not made of all).*annotate/);
      expect(code).toBe(1);
    }
    // All else is as it was.
    expect(JSON.parse((await select('--where', 'safety_one >= 0')).stdout).kept).toBe(48);
    const report = await cli(['safety', 'report', out]);
    expect(report.stderr + report.stdout).toMatch(/punsafe is left out: 1 of 3 files have it whole/);
    const check = await cli(['verify', out]);
    expect(check.stdout).toMatch(/2 of 3 shards have no safety:punsafe/);
    expect(check.stdout).not.toMatch(/wrong:/);

    expect((await add()).code).toBe(0);
    expect((await select('--max-punsafe', '1')).code).toBe(0);
    expect((await cli(['verify', out])).code).toBe(0);
  });

  test('killed and run again, the bytes are those of an undisturbed run', async () => {
    const out = join(folder, 'killed');
    const args = ['score', pool, '--model', 'demo', '--out', out, '--safety', specs];
    const { child, done } = startCli(args);
    child.stdin!.end();
    while (child.exitCode === null) {
      const names = await readdir(out).catch((): string[] => []);
      if (names.some((name) => name.endsWith('_stats.json'))) break;
      await sleep(5);
    }
    child.kill('SIGKILL');
    expect((await done).code).toBeNull();
    expect((await score(out, '--safety', specs)).stderr).toBe('');
    expect(await withoutTimes(out)).toEqual(await withoutTimes(together));
  });
});

test.each<[string[], RegExp]>([
  [['--safe'], /a classifier says, and nothing here makes it\. Add --safety nsfwjs/],
  [['--preset', 'safe', '--safety', 'words,hashes'], /a classifier says, and nothing here makes it/],
  [['--block', `pdq:${join(folder, 'known.txt')}`, '--safety', 'nsfwjs'], /Add --safety hashes/],
])('a filter by columns that nobody makes is told before anything is scored: %j', async (by, message) => {
  await writeFile(join(folder, 'known.txt'), `${'0'.repeat(64)}\n`);
  const out = join(folder, 'nobody');
  const { code, stderr } = await cli(['filter', pool, '--model', 'demo', ...by, '--out', out, '-q']);
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
  expect(await stat(out).catch(() => 'nothing')).toBe('nothing');
});

test('punsafe of other classifiers in another folder is not taken for the same', async () => {
  const [other, out] = ['other', 'mixed.npy'].map((name) => join(folder, name));
  const more = join(import.meta.dirname, '../../demo/shards/demo-00000.tar');
  const scored = [
    'score',
    more,
    '--model',
    'demo',
    '--safety',
    'nsfwjs',
    '--limit',
    '8',
    '--out',
    other,
    '-q',
  ];
  expect((await cli(scored)).code).toBe(0);
  const select = (...by: string[]) => cli(['select', together, other, ...by, '--out', out, '-q']);
  for (const by of [['--safe'], ['--where', 'punsafe < 0.5']]) {
    const { code, stderr } = await select(...by);
    expect(stderr).toMatch(
      /made of other classifiers than in .*together.*Annotate all folders with the same/,
    );
    expect(code).toBe(1);
  }
  expect((await select('--where', 'nsfw_nsfwjs_porn < 0.5')).code).toBe(0);
  const report = await cli(['safety', 'report', together, other]);
  expect(report.stderr + report.stdout).toMatch(/punsafe is made of other classifiers in some.*mix them/);
});

test('a concept file that was changed is refused under its old name', async () => {
  const changed = join(folder, 'changed.yaml');
  await writeFile(changed, 'name: animals\nconcepts: {fox: [a fox]}\nneutral: [the sea, a picture]\n');
  const { code, stderr } = await cli(['annotate', together, '--safety', `concepts:${changed}`, '-q']);
  expect(stderr).toMatch(/safety:animals made with other settings.*prompts: .*goes by another name/);
  expect(code).toBe(1);
});

test('filter and the recipe that it prints make the same safe subset; a recipe annotates from its shards', async () => {
  const head = specs.split(',').at(-1)!;
  const [out, other] = [join(folder, 'filtered'), join(folder, 'by-recipe')];
  const args = ['--model', 'demo', '--safety', head, '--max-punsafe', '0.3'];
  const filtered = await cli(['filter', pool, ...args, '--out', out, '--quiet', '--json']);
  expect(filtered.stderr).toBe('');
  const { kept, dropped } = JSON.parse(filtered.stdout);
  expect(kept).toBeGreaterThan(0);
  expect(dropped).toBeGreaterThan(0);
  const printed = await cli(['filter', pool, ...args, '--out', other, '--print-recipe']);
  expect(printed.stdout).toContain(`- ${head}`);
  expect(printed.stdout).toContain('max_punsafe: 0.3');
  const recipe = join(folder, 'recipe.yaml');
  await writeFile(recipe, `${printed.stdout}annotate: {safety: [hashes]}\n`);
  const run = await cli(['run', recipe, '--quiet']);
  expect(run.stderr).toBe('');
  expect(await readFile(join(other, 'subset.npy'))).toEqual(await readFile(join(out, 'subset.npy')));
  const made = JSON.parse(await readFile(join(other, 'metadata/run.json'), 'utf8'));
  expect(Object.keys(made.groups)).toEqual(['safety:first', 'safety:hashes', 'safety:punsafe']);
  await writeFile(recipe, `${printed.stdout}annotate: {safety: [hashs]}\n`);
  const wrong = await cli(['run', recipe, '--quiet']);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('Did you mean hashes?');
});
