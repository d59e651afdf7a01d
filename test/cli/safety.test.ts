import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { encodeParquet } from '../../src/metadata/parquet-write.ts';
import { cli } from '../helpers/cli.ts';
import { goodSamples, picture, tarOf, writePool } from '../helpers/pool.ts';
import { DEMO_DIM, writeHead } from '../helpers/safety.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');
const scored = join(folder, 'scored');
let first: string;
let second: string;

beforeAll(async () => {
  await writePool(pool, 2, 20);
  first = await writeHead(folder, 'first', 3);
  second = await writeHead(folder, 'second', 7, { info: { thresholds: { nsfw: 0.9, unsure: 0.3 } } });
  const result = await cli(['score', pool, '--model', 'demo', '--out', scored, '--quiet']);
  expect(result.stderr).toBe('');
});

async function copyOf(name: string): Promise<string> {
  const path = join(folder, name);
  await cp(scored, path, { recursive: true });
  return path;
}

async function columnsOf(path: string, shard: string): Promise<Map<string, unknown[]>> {
  const columns = await readColumns(openFolder(path, { readOnly: true }), `${shard}.parquet`);
  return new Map(columns.map(({ name, values }) => [name, [...values]]));
}

const runOf = async (path: string) => JSON.parse(await readFile(join(path, 'run.json'), 'utf8'));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** What a head of `writeHead` says of a shard's stored embeddings. */
async function expected(path: string, shard: string, component: number): Promise<number[]> {
  const npz = await openNpz(await openFolder(path, { readOnly: true }).open(`${shard}.npz`), shard);
  const { rows, data } = await npz.matrix('demo_img');
  return Array.from({ length: rows }, (_, i) => sigmoid(40 * data[i * DEMO_DIM + component]));
}

describe('a head on a scored folder', () => {
  test('adds its column from the npz; a second one later, and what they say together', async () => {
    const path = await copyOf('heads');
    const npz = await readFile(join(path, '00001.npz'));
    const one = await cli(['annotate', path, '--safety', `head:${first}`, '--json', '--quiet']);
    expect(one.stderr).toBe('');
    expect(JSON.parse(one.stdout)).toMatchObject({
      rows: 40,
      groups: [{ group: 'safety:first' }, { group: 'safety:punsafe', columns: ['punsafe', 'nsfw_tag'] }],
      shards: { done: 2, reused: 0 },
    });
    const before = await columnsOf(path, '00001');
    const p1 = await expected(path, '00001', 3);
    before.get('safety_first')!.forEach((value, i) => {
      expect(value).toBeCloseTo(p1[i], 5);
    });
    expect(before.get('punsafe')).toEqual(before.get('safety_first'));

    const two = await cli(['annotate', path, '--safety', `head:${second}`, '--lang', 'cld3', '--quiet']);
    expect(two.stderr).toBe('');
    const after = await columnsOf(path, '00001');
    expect(after.get('safety_first')).toEqual(before.get('safety_first'));
    expect(after.get('lang_cld3')).toHaveLength(20);
    const [a, b] = [after.get('safety_first'), after.get('safety_second')] as [number[], number[]];
    expect(after.get('punsafe')).toEqual(a.map((value, i) => Math.max(value, b[i])));
    const tag = (i: number) =>
      a[i] >= 0.5 || b[i] >= Math.fround(0.9)
        ? 'NSFW'
        : a[i] >= Math.fround(0.1) || b[i] >= Math.fround(0.3)
          ? 'UNSURE'
          : 'UNLIKELY';
    expect(after.get('nsfw_tag')).toEqual(a.map((_, i) => tag(i)));
    expect(new Set(after.get('nsfw_tag')).size).toBeGreaterThan(1);
    for (const [name, values] of await columnsOf(scored, '00001')) expect(after.get(name)).toEqual(values);
    expect(await readFile(join(path, '00001.npz'))).toEqual(npz);
    expect((await runOf(path)).groups['safety:punsafe']).toMatchObject({
      combined: 'the largest of safety_first, safety_second',
      thresholds: [
        { columns: ['safety_first'], unsure: 0.1, nsfw: 0.5 },
        { columns: ['safety_second'], unsure: 0.3, nsfw: 0.9 },
      ],
    });
    const bytes = await filesOf(path);
    const again = await cli(['annotate', path, '--safety', `head:${first},head:${second}`]);
    expect(again.stdout).toContain('2 of them already done');
    expect(await filesOf(path)).toEqual(bytes);

    const checked = await cli(['verify', path]);
    expect(checked.code).toBe(0);
  });

  test('of another model is refused, naming both; what is not pulled is told', async () => {
    const path = await copyOf('refused');
    const other = await writeHead(folder, 'other', 0, { weights: 'ab'.repeat(32) });
    const wrong = await cli(['annotate', path, '--safety', `head:${other}`]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/the head other is for embeddings of Another CLIP, and these are of demo/);
    const env = { SHARDSIEVE_HEADS: join(folder, 'none') };
    const absent = await cli(['annotate', path, '--safety', 'laion-l14'], { env });
    expect(absent.code).toBe(2);
    expect(absent.stderr).toContain('Run: shardsieve heads pull laion-l14');
    expect(await filesOf(path)).toEqual(await filesOf(scored));
  });

  test.each([
    ['nsfwj', 'Did you mean nsfwjs?'],
    ['head:', 'names nothing'],
    ['nsfwjs', 'safety:nsfwjs needs the pictures. Give the shards too'],
    ['concepts:gone.yaml', 'no such concept file'],
  ])('wrong use is told: %s', async (spec, message) => {
    const wrong = await cli(['annotate', scored, '--safety', spec]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain(message);
  });
});

describe('pictures, from the shards', () => {
  const hash = async (i: number) =>
    createHash('sha256')
      .update(await picture(i, (['jpeg', 'png', 'webp'] as const)[i % 3]))
      .digest('hex');

  test('are found by uid; a row whose sample is gone has nulls, counted, and is not judged', async () => {
    const path = await copyOf('pictures');
    const changed = join(folder, 'changed');
    await mkdir(changed);
    await cp(join(pool, '00000.tar'), join(changed, '00000.tar'));
    const samples = (await goodSamples(20, 20)).filter((_, i) => i !== 4 && i !== 19);
    await writeFile(join(changed, '00001.tar'), await tarOf(samples));
    const result = await cli([
      ...['annotate', path, '--safety', 'nsfwjs,hashes,words'],
      ...['--shards', changed, '--json', '--quiet'],
    ]);
    expect(result.stderr).toBe('');
    expect(JSON.parse(result.stdout).groups).toMatchObject([
      { group: 'safety:nsfwjs', unjudged: 2 },
      { group: 'safety:hashes', unjudged: 2 },
      { group: 'safety:words', unjudged: 0 },
      { group: 'safety:punsafe', unjudged: 2 },
    ]);
    const columns = await columnsOf(path, '00001');
    for (let i = 0; i < 20; i++) {
      const isGone = i === 4 || i === 19;
      expect(columns.get('member_sha256')![i]).toBe(isGone ? null : await hash(20 + i));
      const five = ['drawing', 'hentai', 'neutral', 'porn', 'sexy'].map(
        (label) => columns.get(`nsfw_nsfwjs_${label}`)![i] as number | null,
      );
      if (isGone) expect(five).toEqual([null, null, null, null, null]);
      else {
        expect(five.reduce((a, b) => a! + b!, 0)).toBeCloseTo(1, 4);
        expect(columns.get('punsafe')![i]).toBe(Math.fround(five[3]! + five[1]!));
      }
    }
    expect(columns.get('nsfw_tag')![4]).toBeNull();
  });

  test('of a foreign folder are found in any tar; its copy has the columns', async () => {
    const foreign = join(folder, 'foreign');
    await mkdir(foreign);
    const rows = [39, 3, 0, 25, 99];
    const uids = rows.map((i) => i.toString(16).padStart(32, '0'));
    const bytes = encodeParquet([
      { name: 'uid', type: 'string', values: uids },
      { name: 'text', type: 'string', values: uids.map(() => 'caption') },
    ]);
    await writeFile(join(foreign, 'all.parquet'), bytes);
    const out = join(folder, 'foreign-out');
    const result = await cli([
      ...['annotate', foreign, '--safety', 'hashes', '--shards', pool],
      ...['--out', out, '--json', '--quiet'],
    ]);
    expect(result.stderr).toBe('');
    expect(JSON.parse(result.stdout).groups).toMatchObject([{ group: 'safety:hashes', unjudged: 1 }]);
    const found = (await columnsOf(out, 'all')).get('member_sha256');
    expect(found).toEqual([await hash(39), await hash(3), await hash(0), await hash(25), null]);
    await rm(out, { recursive: true });
  });
});

describe('selecting', () => {
  test('takes the safe subset by tag or by bound, and says how to make what is missing', async () => {
    const path = await copyOf('select');
    const out = join(folder, 'safe.npy');
    const select = (...more: string[]) => cli(['select', path, ...more, '--out', out, '--json', '--quiet']);
    const missing = await select('--safe');
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain('no column nsfw_tag');
    expect(missing.stderr).toContain(
      'shardsieve annotate METADATA --safety nsfwjs,laion-l14 --shards SHARDS',
    );
    await cli(['annotate', path, '--safety', `hashes,head:${first}`, '--shards', pool, '--quiet']);
    const rows = [await columnsOf(path, '00000'), await columnsOf(path, '00001')];
    const all = (name: string) => rows.flatMap((columns) => columns.get(name)!);
    const safe = JSON.parse((await select('--safe')).stdout);
    const tagged = all('nsfw_tag').filter((tag) => tag === 'UNLIKELY').length;
    expect(tagged).toBeGreaterThan(0);
    expect(safe).toMatchObject({ seen: 40, kept: tagged });
    const bounded = JSON.parse((await select('--max-punsafe', '0.3')).stdout);
    const below = all('punsafe').filter((p) => (p as number) <= Math.fround(0.3)).length;
    expect(below).toBeGreaterThan(tagged);
    expect(bounded.kept).toBe(below);
    const list = join(folder, 'bad.txt');
    const bad = all('member_sha256').slice(3, 5);
    await writeFile(list, bad.join('\n'));
    const blocked = await select('--block', `member_sha256:${list}`, '--max-punsafe', '1');
    expect(JSON.parse(blocked.stdout).kept).toBe(38);
    for (const hash of bad) expect(blocked.stdout + blocked.stderr).not.toContain(String(hash));
  });
});
