import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { fileSource } from '../../cli/io/file.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { writeSubset } from '../../src/uids/npy.ts';
import { parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { cli } from '../helpers/cli.ts';
import { picture, tarOf } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');
const subset = join(folder, 'subset.npy');
const uid = (i: number) => i.toString(16).padStart(32, '0');
const FIXTURES = join(import.meta.dirname, '../fixtures/subset/datacomp');

beforeAll(async () => {
  await mkdir(pool);
  for (const [place, number] of [0, 1, 4].entries()) {
    const samples = await Promise.all(
      [0, 1, 2, 3].map(async (j) => {
        const i = place * 4 + j;
        const face_bboxes = i === 1 ? [[0.2, 0.2, 0.6, 0.6]] : i === 2 ? [[34, 50, 120, 200]] : [];
        const jpg = i === 3 ? new Uint8Array([0xff, 0xd8, 0xff, 0]) : await picture(i);
        const json = { uid: uid(i), face_bboxes: i === 3 ? [[0, 0, 1, 1]] : face_bboxes };
        return { key: `00${i}`, members: { jpg, json, txt: `caption ${i}` } };
      }),
    );
    await writeFile(join(pool, `${String(number).padStart(8, '0')}.tar`), await tarOf(samples));
  }
  const uids: Uids = new BigUint64Array(24);
  for (let i = 0; i < 12; i++) parseUidText(uid(i), wordsOf(uids), i);
  await writeSubset(openFolder(folder), 'subset.npy', uids);
});

const reshard = (...args: string[]) =>
  cli(['reshard', pool, '--subset', subset, '--quiet', '--json', ...args]);
const summary = (stdout: string) => JSON.parse(stdout) as { [field: string]: unknown };

async function namesIn(shard: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { members } of readSamples(fileSource(shard).stream(), { shard }))
    for (const { name } of members) names.push(name);
  return names;
}

describe('shards by number', () => {
  test('gaps are passed over, and a range without any shard is a usage error', async () => {
    const out = join(folder, 'range');
    const result = await reshard(
      '--out',
      out,
      '--first-shard',
      '1',
      '--num-shards',
      '4',
      '--output-first-shard',
      '7',
    );
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(summary(result.stdout)).toMatchObject({ seen: 8, written: 8, not_found: { count: 4 } });
    expect(await readdir(out)).toContain('00000007.tar');
    const none = await reshard('--out', out, '--first-shard', '2', '--num-shards', '2');
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('none of the 3 shards has a number from 2 to 3');
  });
});

describe('a dry run', () => {
  test('says what would be done and writes nothing', async () => {
    const out = join(folder, 'dry');
    const result = await reshard('--out', out, '--dry-run');
    expect(summary(result.stdout)).toMatchObject({ seen: 12, written: 12, shards: { written: 1 } });
    await expect(stat(out)).rejects.toThrow();
    const told = await cli(['reshard', pool, '--subset', subset, '--out', out, '--dry-run', '--quiet']);
    expect(told.stdout).toMatch(/^12 samples would be written to 1 shard/);
  });
});

describe('a folder that is somebody else’s', () => {
  test('is written to with --overwrite only', async () => {
    const out = join(folder, 'foreign');
    await mkdir(out);
    await writeFile(join(out, 'notes.txt'), 'mine');
    const refused = await reshard('--out', out);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('--overwrite');
    expect(await readdir(out)).toEqual(['notes.txt']);
    expect((await reshard('--out', out, '--overwrite')).code).toBe(0);
    expect(await readFile(join(out, 'notes.txt'), 'utf8')).toBe('mine');
  });
});

describe('faces', () => {
  test('are blurred by the boxes in the JSON; what cannot be blurred is left out and named', async () => {
    const out = join(folder, 'blurred');
    const result = await reshard('--out', out, '--apply-blur');
    expect(summary(result.stdout)).toMatchObject({
      ...{ seen: 12, kept: 10, written: 10 },
      damaged: { bad_face_bboxes: 1, undecodable_image: 1 },
      faces: { blurred: 1, boxes: 1 },
      left_out: [
        { shard: '00000000', key: '002', reason: 'bad_face_bboxes' },
        { shard: '00000000', key: '003', reason: 'undecodable_image' },
      ],
    });
    const names = await namesIn(join(out, '00000000.tar'));
    expect(names.slice(0, 6)).toEqual(['000.jpg', '000.json', '000.txt', '001.webp', '001.json', '001.txt']);
    for await (const { members } of readSamples(fileSource(join(out, '00000000.tar')).stream(), {
      shard: 'o',
    })) {
      const webp = members.find(({ ext }) => ext === 'webp');
      if (webp !== undefined) expect((await sharp(webp.bytes).metadata()).width).toBe(41);
    }
  });

  test('come from DataComp’s metadata by folder and by its map, with the same bytes', async () => {
    const ids = join(FIXTURES, 'subset.npy');
    const common = [
      'reshard',
      join(FIXTURES, 'pool'),
      '--subset',
      ids,
      '--apply-blur',
      '--inject-blur-metadata',
      '--quiet',
    ];
    const shards = ['00000000.tar', '00000001.tar', '00000003.tar'].map((name) => `s3://somewhere/${name}`);
    const map = join(folder, 'map.json');
    await writeFile(map, JSON.stringify({ a: { parquet: join(FIXTURES, 'metadata.parquet'), shards } }));
    const [one, two] = [join(folder, 'by-folder'), join(folder, 'by-map')];
    const first = await cli([...common, '--metadata', FIXTURES, '--out', one]);
    expect(first.stdout).toContain('4 faces blurred in 3 pictures\n');
    expect((await cli([...common, '--blur-metadata-map', map, '--out', two])).code).toBe(0);
    expect(await filesOf(two)).toEqual(await filesOf(one));
    await writeFile(map, JSON.stringify({ a: { parquet: 'x.parquet', shards: shards.slice(1) } }));
    const missing = await cli([...common, '--blur-metadata-map', map, '--out', two]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain('00000000.tar first');
  });

  test('boxes to be written into the JSON have to come from metadata', async () => {
    const result = await reshard('--out', join(folder, 'x'), '--inject-blur-metadata');
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('--metadata DIR');
  });
});

describe('--remove', () => {
  test('writes only the shards anew that hold one of the uids', async () => {
    const out = join(folder, 'removed');
    expect((await reshard('--out', out, '--shard-size', '4')).code).toBe(0);
    const long = new Date('2020-01-01');
    for (const name of await readdir(out)) await utimes(join(out, name), long, long);
    const before = await filesOf(out);
    const list = join(folder, 'uids.txt');
    await writeFile(list, `# on request\n${uid(5)}\n${uid(6)}\n${uid(99)}\n`);
    const dry = await cli(['reshard', out, '--remove', list, '--dry-run', '--quiet']);
    expect(dry.stdout).toBe(
      `2 of 12 samples would be removed; 1 of 3 shards would be written anew\n1 uid not found in the shards: ${uid(99)}\n`,
    );
    expect(await filesOf(out)).toEqual(before);
    const result = await cli(['reshard', out, '--remove', list, '--quiet', '--json']);
    expect(result.code).toBe(0);
    expect(summary(result.stdout)).toMatchObject({
      ...{ seen: 12, removed: 2, not_found: { count: 1, first: [uid(99)] } },
      shards: { rewritten: ['00000001.tar'], untouched: 2, failed: 0 },
    });
    expect(await namesIn(join(out, '00000001.tar'))).toEqual(
      ['004', '007'].flatMap((key) => ['jpg', 'json', 'txt'].map((ext) => `${key}.${ext}`)),
    );
    const touched = [];
    for (const name of await readdir(out)) {
      if ((await stat(join(out, name))).mtimeMs !== long.getTime()) touched.push(name);
    }
    const changed = ['00000001.tar', '00000001_stats.json', 'meta.json', 'sample_ids.npy', 'sizes.json'];
    expect(touched.sort()).toEqual(changed);
    expect(JSON.parse(await readFile(join(out, 'sizes.json'), 'utf8'))).toEqual({
      '00000000.tar': 4,
      '00000001.tar': 2,
      '00000002.tar': 4,
    });
  });

  test('a damaged shard fails by name, and the others are done', async () => {
    const out = join(folder, 'damaged');
    expect((await reshard('--out', out, '--shard-size', '4')).code).toBe(0);
    await writeFile(join(out, '00000000.tar'), (await readFile(join(out, '00000000.tar'))).subarray(0, 3000));
    const list = join(folder, 'damaged.txt');
    await writeFile(list, `${uid(0)}\n${uid(4)}\n`);
    const result = await cli(['reshard', out, '--remove', list, '--quiet']);
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('1 of 8 samples removed; 1 of 3 shards written anew');
    expect(result.stdout).toContain('00000000');
  });

  test.each([
    [['--out', 'x'], '--out does not go with --remove'],
    [['--shuffle-buffer', '3'], '--shuffle-buffer does not go with --remove'],
    [['other'], 'works on one folder'],
  ])('does not take %j', async (more, message) => {
    const result = await cli(['reshard', pool, '--remove', subset, ...more]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(message);
  });

  test('without it, --subset and --out are asked for', async () => {
    const result = await cli(['reshard', pool, '--out', 'x']);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('--subset is missing');
  });
});
