import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { createLanguages } from '../../cli/language/languages.ts';
import { FULL_MODEL } from '../../cli/language/models.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { prepareFolder } from '../../src/metadata/folder.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { encodeParquet } from '../../src/metadata/parquet-write.ts';
import { cli, startCli } from '../helpers/cli.ts';
import { makeOutput, makeUid } from '../helpers/tables.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const FIXTURES = join(import.meta.dirname, '../fixtures');
const foreign = join(FIXTURES, 'annotate/foreign');
const small = join(FIXTURES, 'language/small.bin');

const CAPTIONS = [
  'A red fox sits in the snow',
  'Ein roter Fuchs sitzt im Schnee',
  'Рыжая лиса сидит на снегу',
  '赤い狐が雪の中に座っている',
  'line one\nline two',
];

/** A folder as `score` leaves it, of shards of five captions. */
async function ownFolder(name: string, shards = 2): Promise<string> {
  const path = join(folder, name);
  const out = openFolder(path);
  await prepareFolder(out, {
    shardsieve: '0.1.0',
    rows: { fingerprint: 'fp-rows' },
    models: { b32: { fingerprint: 'fp-clip:b32' } },
  });
  for (let i = 0; i < shards; i++) {
    const output = makeOutput(CAPTIONS.length, ['b32']);
    for (const [row, text] of CAPTIONS.entries()) output.table.rows[row].text = text;
    await commitShard(out, `0000${i}`, output);
  }
  return path;
}

/** A foreign folder of many small parquets. */
async function manyForeign(name: string, files: number, rows: number): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  for (let f = 0; f < files; f++) {
    const values = Array.from({ length: rows }, (_, i) => `${CAPTIONS[(i + f) % CAPTIONS.length]} ${f} ${i}`);
    const bytes = encodeParquet([
      { name: 'uid', type: 'string', values: values.map((_, i) => makeUid(f * rows + i)) },
      { name: 'text', type: 'string', values },
    ]);
    await writeFile(join(path, `${String(f).padStart(4, '0')}.parquet`), bytes);
  }
  return path;
}

async function columnsOf(path: string, shard: string): Promise<Map<string, unknown[]>> {
  const columns = await readColumns(openFolder(path, { readOnly: true }), `${shard}.parquet`);
  return new Map(columns.map(({ name, values }) => [name, [...values]]));
}

const bytesOf = async (path: string) =>
  new Map([...(await filesOf(path))].map(([n, b]) => [n, b.toString('base64')]));

describe('Shardsieve’s own folder, in place', () => {
  test('has the detectors’ answers as columns; again, nothing is done; the other detector is added', async () => {
    const path = await ownFolder('own');
    const before = await columnsOf(path, '00000');
    const npz = await readFile(join(path, '00000.npz'));
    const first = await cli(['annotate', path, '--lang', 'fasttext', '--json', '--quiet']);
    expect(first.stderr).toBe('');
    expect(first.code).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({ rows: 10, shards: { done: 2, reused: 0 } });
    const after = await columnsOf(path, '00001');
    expect(after.get('lang_fasttext')).toEqual(['en', 'de', 'ru', 'ja', 'en']);
    const languages = createLanguages({ threads: 1 });
    const told = await (await languages.detector('fasttext')).detect(CAPTIONS);
    await languages.close();
    expect(after.get('lang_fasttext_prob')).toEqual(told.map((one) => one?.probability));
    for (const [name, values] of before) expect(after.get(name)).toEqual(values);
    expect(await readFile(join(path, '00000.npz'))).toEqual(npz);

    const bytes = await bytesOf(path);
    const again = await cli(['annotate', path, '--lang', 'fasttext', '--threads', '1']);
    expect(again.stdout).toContain('2 of them already done');
    expect(await bytesOf(path)).toEqual(bytes);

    const second = await cli(['annotate', path, '--lang', 'fasttext,cld3', '--quiet']);
    expect(second.code).toBe(0);
    const cld3 = (await columnsOf(path, '00000')).get('lang_cld3');
    expect(cld3?.slice(0, 2)).toEqual(['en', 'de']);
    const run = JSON.parse(await readFile(join(path, 'run.json'), 'utf8'));
    expect(run.groups).toMatchObject({
      'language:fasttext': { model: 'lid.176.ftz' },
      'language:cld3': { min_bytes: 0, max_bytes: 1000 },
    });
  });

  test('another model under the same name is refused with both, and nothing changes', async () => {
    const path = await ownFolder('conflict');
    await cli(['annotate', path, '--lang', 'fasttext', '--quiet']);
    const bytes = await bytesOf(path);
    const run = JSON.parse(await readFile(join(path, 'run.json'), 'utf8'));
    const refused = await cli(['annotate', path, '--lang', 'fasttext', '--lid', small]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`fingerprint ${run.groups['language:fasttext'].fingerprint}, now `);
    expect(refused.stderr).toContain('lid.176.ftz there');
    expect(await bytesOf(path)).toEqual(bytes);
  });

  test('a predicate can ask for the columns', async () => {
    const path = await ownFolder('kept', 1);
    await cli(['annotate', path, '--lang', 'fasttext', '--quiet']);
    const selected = await cli([
      'select',
      path,
      '--where',
      "lang_fasttext = 'en'",
      '--out',
      join(folder, 'kept.npy'),
      '--json',
      '--quiet',
    ]);
    expect(selected.stderr).toBe('');
    expect(JSON.parse(selected.stdout)).toMatchObject({ seen: 5, kept: 2 });
    const filter = ['--filter', '{language: {by: fasttext, is: en}}', '--dry-run', '--json'];
    const other = await cli(['select', path, ...filter, '--lid', 'full']);
    expect(other.stderr).toContain('told by another model than --lid full');
    const same = await cli(['select', path, ...filter, '--lid', 'compressed']);
    expect(same.stderr).not.toContain('another model');
    expect(JSON.parse(same.stdout)).toMatchObject({ kept: 2 });
  });
});

describe('a foreign folder', () => {
  test('is never written to: --out makes a copy, its npz linked', async () => {
    const refused = await cli(['annotate', foreign, '--lang', 'fasttext']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/never modified.*--out DIR/);
    const before = await bytesOf(foreign);
    const out = join(folder, 'copy');
    const made = await cli(['annotate', foreign, '--lang', 'fasttext,cld3', '--out', out, '--json']);
    expect(made.code).toBe(0);
    expect(JSON.parse(made.stdout)).toMatchObject({
      rows: 180,
      groups: [{ unjudged: 27 }, { unjudged: 27 }],
      shards: { done: 4, reused: 0 },
    });
    expect(await bytesOf(foreign)).toEqual(before);
    expect(await readFile(join(out, 'a.npz'))).toEqual(await readFile(join(foreign, 'a.npz')));
    const same = await cli(['annotate', foreign, '--out', `${foreign}/.`, '--lang', 'cld3']);
    expect(same.code).toBe(2);
    expect(same.stderr).toContain('--out is the metadata folder itself');
  });

  test('on one disk the npz is the same file; made again over itself, no temporary file stays', async () => {
    const from = join(folder, 'linked');
    await cp(foreign, from, { recursive: true });
    const out = join(folder, 'linked-out');
    const args = ['annotate', from, '--lang', 'cld3', '--out', out, '--quiet'];
    await cli(args);
    expect((await stat(join(out, 'a.npz'))).ino).toBe((await stat(join(from, 'a.npz'))).ino);
    await rm(join(out, 'a_stats.json'));
    expect((await cli(args)).code).toBe(0);
    expect((await readdir(out)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('lacking text, or with text that is none, it is refused by file and column', async () => {
    const path = join(folder, 'textless');
    await mkdir(path);
    await writeFile(
      join(path, 'x.parquet'),
      encodeParquet([{ name: 'caption', type: 'string', values: ['a', 'b'] }]),
    );
    const refused = await cli([
      'annotate',
      path,
      '--lang',
      'fasttext',
      '--out',
      join(folder, 'textless-out'),
    ]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `no column text (file ${path}/x.parquet, column text). There is caption`,
    );
    const nothing = await cli(['annotate', join(folder, 'nowhere'), '--lang', 'cld3']);
    expect(nothing.stderr).toContain('no .parquet file');
  });

  test('selecting tells languages on the fly where no column has them, with the same answer', async () => {
    const path = await manyForeign('fly', 2, 50);
    const select = (metadata: string, name: string) =>
      cli([
        'select',
        metadata,
        '--filter',
        '{language: {by: fasttext, is: en}}',
        '--out',
        join(folder, name),
        '--quiet',
      ]);
    expect((await select(path, 'fly.npy')).stderr).toBe('');
    const out = join(folder, 'fly-out');
    await cli(['annotate', path, '--lang', 'fasttext', '--out', out, '--quiet']);
    expect((await select(out, 'column.npy')).code).toBe(0);
    const [fly, column] = [
      await readFile(join(folder, 'fly.npy')),
      await readFile(join(folder, 'column.npy')),
    ];
    expect(fly.length).toBeGreaterThan(128 + 16 * 20);
    expect(fly).toEqual(column);
    await rm(join(out, '0001_stats.json'));
    const half = await select(out, 'half.npy');
    expect(half.code).toBe(1);
    expect(half.stderr).toContain('0001');
  });
});

describe('stopped', () => {
  let undisturbed: Map<string, string>;
  let path: string;
  beforeAll(async () => {
    path = await manyForeign('many', 40, 400);
    const out = join(folder, 'undisturbed');
    expect((await cli(['annotate', path, '--lang', 'fasttext', '--out', out, '--quiet'])).code).toBe(0);
    undisturbed = await bytesOf(out);
  });

  test.each([
    ['SIGKILL', null],
    ['SIGINT', 130],
  ] as const)('by %s and run again, the bytes are those of an undisturbed run', async (signal, code) => {
    const out = join(folder, signal);
    const args = ['annotate', path, '--lang', 'fasttext', '--out', out, '--threads', '1'];
    const { child, done } = startCli(args);
    child.stdin!.end();
    for (;;) {
      const names = await readdir(out).catch((): string[] => []);
      if (names.some((name) => name.endsWith('_stats.json')) || child.exitCode !== null) break;
      await sleep(5);
    }
    child.kill(signal);
    expect((await done).code).toBe(code);
    const committed = (await readdir(out)).filter((name) => name.endsWith('_stats.json')).length;
    expect(committed).toBeGreaterThan(0);
    expect(committed).toBeLessThan(40);
    const again = await cli([...args, '--json']);
    expect(JSON.parse(again.stdout)).toMatchObject({ shards: { done: 40 - committed, reused: committed } });
    expect(await bytesOf(out)).toEqual(undisturbed);
  });
});

describe('--lid', () => {
  test('full is the cached lid.176.bin; offline without it, the error says where to put it', async () => {
    const path = await ownFolder('full', 1);
    const cache = join(folder, 'cache');
    const env = { XDG_CACHE_HOME: cache };
    const blob = join(cache, 'shardsieve/files/blobs', FULL_MODEL.sha256);
    const refused = await cli(['annotate', path, '--lang', 'fasttext', '--lid', 'full'], { env });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`put it at ${blob}`);
    await mkdir(join(blob, '..'), { recursive: true });
    // What lies under the hash was checked when it came; here a small model stands in for it.
    await cp(small, blob);
    expect(
      (await cli(['annotate', path, '--lang', 'fasttext', '--lid', 'full', '--quiet'], { env })).code,
    ).toBe(0);
    const run = JSON.parse(await readFile(join(path, 'run.json'), 'utf8'));
    expect(run.groups['language:fasttext']).toMatchObject({
      model: 'lid.176.bin',
      model_sha256: FULL_MODEL.sha256,
    });
  });

  test.each([
    [['--lang', 'langid'], 'There is fasttext and cld3'],
    [[], 'Name detectors with --lang, or --safety'],
  ])('wrong use is told: %j', async (args, message) => {
    const wrong = await cli(['annotate', folder, ...args]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain(message);
  });
});
