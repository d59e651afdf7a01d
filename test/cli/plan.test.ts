import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { trainCentroids } from '../../cli/jobs/centroids.ts';
import { type FilterOptions, filterShards } from '../../cli/jobs/filter.ts';
import { mergeParts } from '../../cli/jobs/merge.ts';
import { scoreShards } from '../../cli/jobs/score.ts';
import { type FilterChoice, selectSubset } from '../../cli/jobs/select.ts';
import { verifyFolders } from '../../cli/jobs/verify.ts';
import { messageOf } from '../../src/errors.ts';
import { cli } from '../helpers/cli.ts';
import { type PoolSample, picture, tarOf } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');
const full = join(folder, 'full');
const blocked = join(folder, 'blocked.txt');
const domains = join(folder, 'domains.txt');
process.env['SHARDSIEVE_QUANTISED'] = join(folder, 'quantised');

const CAPTIONS = [
  'a picture of a red fox in the snow',
  'fox',
  'the quick brown fox jumps over the lazy dog',
  'ein roter Fuchs im tiefen Schnee am Waldrand',
  'the sea',
  '\ufeffwaves of the sea on a sunny day',
  'un renard roux dans la neige de la forêt',
  'a\u3000b c d e f g',
  'picture of a dog and of a cat on the sofa',
];

/** Repeated pictures, captions and uids, pictures that cannot be decoded, samples without sizes, hashes and URLs. */
async function samplesOf(shard: number): Promise<PoolSample[]> {
  const samples: PoolSample[] = [];
  for (let i = 0; i < 24; i++) {
    const n = shard * 24 + i;
    const jpg = await picture(n % 29);
    samples.push({
      key: String(n).padStart(9, '0'),
      members: {
        jpg: n % 11 === 5 ? jpg.subarray(0, jpg.length / 2) : jpg,
        txt: CAPTIONS[(n * 5) % CAPTIONS.length],
        json: {
          ...(n % 7 === 0 ? {} : { uid: (n % 41).toString(16).padStart(32, '0') }),
          ...(n % 5 === 0 ? {} : { original_width: 150 + 10 * (n % 20), original_height: 200 }),
          ...(n % 6 === 0 ? {} : { sha256: (n % 9).toString(16).padStart(64, '0') }),
          url: n % 4 === 0 ? 'https://one.example/a.jpg' : `https://two.example/${n}.jpg`,
          rating: n % 13 === 0 ? 'none' : n % 5,
        },
      },
    });
  }
  return samples;
}

beforeAll(async () => {
  await mkdir(pool, { recursive: true });
  for (let s = 0; s < 3; s++) await writeFile(join(pool, `0000${s}.tar`), await tarOf(await samplesOf(s)));
  await writeFile(blocked, `${'3'.padStart(32, '0')}\n${'a'.padStart(32, '0')}\n`);
  await writeFile(domains, 'one.example\n');
  await scoreShards({ shards: pool, models: ['demo'], out: full, carry: ['json:rating'] });
});

const caption = { caption: { min_words: 4 } };
const size = { size: { min_side: 40, max_aspect: 1.6 } };
const english = { language: { by: 'fasttext' as const, is: 'en' } };
const half = { score: { fraction: 0.5, of: 'rest' as const } };

/** What is asked, and the filters that have dropped samples before they were scored. */
const CASES: [string, FilterChoice & Partial<FilterOptions>, string[]][] = [
  ['captions and a threshold', { filters: [caption], threshold: 0.3 }, ['caption']],
  ['sizes, of the header where the JSON has none', { filters: [half, size] }, []],
  ['sizes before half of the rest', { filters: [size, half] }, ['size']],
  [
    'a preset and repeats',
    { filters: [{ preset: 'basic_filter' }], multiset: true },
    ['caption', 'language', 'size'],
  ],
  ['languages and half of the rest', { filters: [english, caption, half] }, ['caption', 'language']],
  ['entities', { filters: [{ text_based: {} }, half] }, ['text_based']],
  ['lists', { filters: [{ block: { uid: blocked, domain: domains } }], threshold: 0.1 }, ['block']],
  ['repeats of captions', { filters: [size, { unique: { by: 'text' } }, half] }, ['size', 'unique']],
  ['repeats of hashes', { filters: [{ unique: { by: 'sha256' } }], fraction: 1 }, []],
  ['a fraction of the pool', { filters: [caption], fraction: 0.4 }, []],
  ['any and not', { filters: [{ any: [caption, { not: size }] }, { not: english }, half] }, ['any', 'not']],
  [
    'SQL',
    {
      filters: [
        { where: 'least(original_width, original_height) >= 40' },
        { where: 'length(text) > 8' },
        half,
      ],
    },
    ['where'],
  ],
  [
    'near-duplicates',
    { filters: [caption, { near_duplicates: { clusters: 2, epsilon: 0.02 } }, size] },
    ['caption'],
  ],
  [
    'a carried column, whose type all rows decide',
    { filters: [caption, { where: "rating <> 'none'" }], carry: ['json:rating'] },
    [],
  ],
  [
    'rows that cannot be judged as an error',
    { filters: [caption, { block: { sha256: join(folder, 'blocked64.txt') } }], strict: true },
    ['caption'],
  ],
  ['nothing at all', { filters: [{ caption: { min_words: 40 } }], threshold: 0 }, ['caption']],
  ['int8, refined in fp32', { filters: [caption, half], precision: 'int8' as const }, ['caption']],
];

describe('filter gives the same subset and shards with the plan as without', () => {
  test.each(CASES)('%s', async (name, choice, dropping) => {
    await writeFile(join(folder, 'blocked64.txt'), `${'1'.padStart(64, '0')}\n`);
    const out = join(folder, name.replaceAll(/\W+/g, '-'));
    const { precision, carry, ...select } = choice;
    const run = (fullMetadata: boolean) => {
      const refine = precision === undefined ? {} : { refine: choice.filters };
      return filterShards({
        ...{ ...choice, ...refine, shards: pool, models: ['demo'], fullMetadata },
        out: `${out}-${fullMetadata}`,
      }).then(
        ({ score }) => score,
        (error: unknown) =>
          messageOf(error)
            .replaceAll(/\d+/g, 'n')
            .replaceAll(/\S*\/metadata/g, ''),
      );
    };
    const planned = await run(false);
    if (carry !== undefined || precision !== undefined || choice.strict) {
      const unplanned = await run(true);
      if (typeof planned === 'string' || typeof unplanned === 'string') {
        expect(choice.strict).toBe(true);
        return expect(planned).toBe(unplanned);
      }
      expect(await written(`${out}-false`)).toEqual(await written(`${out}-true`));
    } else {
      // Everything was scored once: selecting from that is what filtering without a plan does.
      await selectSubset({ ...select, metadata: full, out: `${out}.npy` });
      const subset = await readFile(join(`${out}-false`, 'subset.npy'));
      expect(subset.equals(await readFile(`${out}.npy`))).toBe(true);
    }
    if (typeof planned === 'string') throw new Error(planned);
    expect(Object.keys(planned.filtered).sort()).toEqual(dropping);
  });
});

/** The subset and the shards. */
async function written(out: string): Promise<Map<string, string>> {
  const files = [...(await filesOf(out))].filter(([name]) => /^subset.npy$|\.tar$/.test(name));
  expect(files.length).toBeGreaterThan(1);
  return new Map(files.map(([name, bytes]) => [name, bytes.toString('base64')]));
}

describe('a folder without the samples that filters dropped', () => {
  const out = join(folder, 'gated');
  const metadata = join(out, 'metadata');
  const min4 = { caption: { min_words: 4 } };
  /** In this process: the command is a thin layer over it. */
  const filter = (options: FilterChoice & Partial<FilterOptions>) =>
    filterShards({ shards: pool, models: ['demo'], out, ...options });
  beforeAll(async () => {
    const args = ['--filter', '{caption: {min_words: 4}}', '--threshold', '0.3', '--explain'];
    const result = await cli(['filter', pool, '--model', 'demo', '--out', out, '--quiet', ...args]);
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    expect(result.stdout).toContain('caption min_words 4  before decoding, by caption');
    expect(result.stdout).toContain('score threshold 0.3  after scores: it reads the score');
    expect(result.stdout).toMatch(/72 samples seen, \d+ scored, \d+ skipped, (\d+) filtered/);
    expect(result.stdout).toMatch(/not decoded: \d+ \(\d+\.\d%\); by caption/);
  });

  test('accounts for every sample, by filter', async () => {
    let [seen, filtered] = [0, 0];
    for (let s = 0; s < 3; s++) {
      const stats = JSON.parse(await readFile(join(metadata, `0000${s}_stats.json`), 'utf8')) as {
        [field: string]: number & { [name: string]: number };
      };
      const { seen: all, scored, skipped, filtered: dropped } = stats;
      seen += all;
      filtered += dropped['caption'];
      expect(scored + Object.values(skipped).reduce((a, b) => a + b, 0) + dropped['caption']).toBe(all);
      const lines = (await readFile(join(metadata, `0000${s}_skipped.jsonl`), 'utf8')).trim().split('\n');
      expect(lines).toHaveLength(all - scored);
      expect(lines.filter((line) => line.includes('"filter":"caption"'))).toHaveLength(dropped['caption']);
    }
    expect(seen).toBe(72);
    expect(filtered).toBeGreaterThan(10);
    const { ok, findings } = await verifyFolders({ folders: [metadata] });
    expect(ok).toBe(true);
    expect(findings.map(({ code, level }) => [code, level])).toContainEqual(['filtered', 'incomplete']);
  });

  test('is selected from by a threshold, and refused to a fraction with what to do', async () => {
    const refused = await cli(['select', metadata, '--out', join(folder, 's.npy'), '--fraction', '0.5']);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      'not all of the pool is here, and score by fraction would be of the part',
    );
    expect(refused.stderr).toContain('--full-metadata');
    const kept = await selectSubset({ metadata, threshold: 0.3 });
    expect(kept.notes.join()).toContain('filters dropped samples before they were scored');
    await selectSubset({ metadata, fraction: 0.5, allowPartial: true });
  });

  test('is completed by the same filters, and not by others', async () => {
    const again = await filter({ filters: [min4], fraction: 1 / 2, threshold: undefined }).catch(messageOf);
    // A fraction of the pool moves nothing, so these would be other rows.
    expect(again).toContain('what was made by other filters is not extended');
    const { score } = await filter({ filters: [min4, half] });
    expect(score.shards).toMatchObject({ done: [], reused: ['00000', '00001', '00002'] });
    for (const options of [
      { filters: [{ caption: { min_words: 5 } }], threshold: 0.3 },
      { threshold: 0.3 },
      { filters: [min4], threshold: 0.3, fullMetadata: true },
    ]) {
      await expect(filter(options)).rejects.toThrow('what was made by other filters is not extended');
    }
    const score2 = scoreShards({ shards: pool, models: ['demo'], slugs: ['other'], out: metadata });
    await expect(score2).rejects.toThrow('this run would add all samples');
  });

  test('is what filter does not make of one that has all samples', async () => {
    const whole = join(folder, 'whole');
    await filter({ fraction: 0.5, out: whole });
    let off: string | undefined;
    const { score } = await filter({
      ...{ filters: [min4], threshold: 0.3, out: whole },
      onPlan: (plan) => {
        off = plan.off;
      },
    });
    expect(off).toContain('holds metadata of every sample already');
    expect(score.shards.reused).toHaveLength(3);
    expect(score.filtered).toEqual({});
  });

  test('of parts is merged where the same filters made them', async () => {
    const parts: string[] = [];
    for (const index of [0, 1]) {
      const path = join(folder, `part-${index}`);
      await filter({ filters: [min4], threshold: 0.3, part: { index, count: 2 }, out: path });
      parts.push(join(path, 'metadata'));
    }
    const merged = await mergeParts({ parts, out: join(folder, 'merged') });
    expect(merged).toMatchObject({ shards: 3 });
    const mixed = mergeParts({ parts: [metadata, full], out: join(folder, 'mixed') });
    await expect(mixed).rejects.toThrow('rows was made with other settings');
  });

  test('is told of in figures of a pool', async () => {
    const { notes } = await trainCentroids({ metadata, k: 2, out: join(folder, 'c.npy') });
    expect(notes.join()).toContain('figures are of the rest');
  });
});

test('a recipe can ask for metadata of the whole pool, and says what it planned', async () => {
  const out = join(folder, 'recipe');
  const args = [
    '--model',
    'demo',
    '--filter',
    '{caption: {min_words: 4}}',
    '--threshold',
    '0.3',
    '--out',
    out,
  ];
  const printed = await cli(['filter', pool, ...args, '--full-metadata', '--print-recipe']);
  expect(printed.stdout).toContain('full_metadata: true');
  await writeFile(join(folder, 'recipe.yaml'), printed.stdout);
  const run = await cli(['run', join(folder, 'recipe.yaml'), '--quiet', '--explain', '--json']);
  expect(JSON.parse(run.stdout)).toMatchObject({
    plan: {
      off: 'every sample is scored, as --full-metadata asks',
      filters: [
        { name: 'caption', when: 'after scores' },
        { name: 'score', when: 'after scores' },
      ],
    },
    score: { seen: 72 },
  });
});
