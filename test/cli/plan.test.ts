import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type FilterOptions, filterShards } from '../../cli/jobs/filter.ts';
import { scoreShards } from '../../cli/jobs/score.ts';
import { type FilterChoice, selectSubset } from '../../cli/jobs/select.ts';
import { messageOf } from '../../src/errors.ts';
import { cli } from '../helpers/cli.ts';
import { type PoolSample, picture, tarOf } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');
const full = join(folder, 'full');
const blocked = join(folder, 'blocked.txt');
const domains = join(folder, 'domains.txt');
const env = { SHARDSIEVE_QUANTISED: join(folder, 'quantised') };
process.env['SHARDSIEVE_QUANTISED'] = env.SHARDSIEVE_QUANTISED;

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
  const filter = (...args: string[]) =>
    cli(['filter', pool, '--model', 'demo', '--out', out, '--quiet', ...args], { env });
  const MIN4 = ['--filter', '{caption: {min_words: 4}}'];
  beforeAll(async () => {
    const result = await filter(...MIN4, '--threshold', '0.3', '--explain');
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
    const verified = await cli(['verify', metadata]);
    expect(verified.stdout + verified.stderr).toContain('filters dropped samples before they were scored');
    expect(verified.code).toBe(0);
  });

  test('is selected from by a threshold, and refused to a fraction with what to do', async () => {
    const select = (...args: string[]) => cli(['select', metadata, '--out', join(folder, 's.npy'), ...args]);
    const refused = await select('--fraction', '0.5');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      'not all of the pool is here, and score by fraction would be of the part',
    );
    expect(refused.stderr).toContain('--full-metadata');
    const kept = await select('--threshold', '0.3');
    expect(kept.code).toBe(0);
    expect(kept.stdout).toContain('filters dropped samples before they were scored');
    expect((await select('--fraction', '0.5', '--allow-partial')).code).toBe(0);
  });

  test('is completed by the same filters, and not by others', async () => {
    const again = await filter(...MIN4, '--fraction', '0.5', '--of', 'rest', '--json', '--explain');
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({
      shards: { done: 0, reused: 3 },
      plan: {
        filters: [
          { name: 'caption', when: 'before decoding' },
          { name: 'score', when: 'after scores' },
        ],
      },
    });
    for (const args of [
      ['--filter', '{caption: {min_words: 5}}', '--threshold', '0.3'],
      ['--threshold', '0.3'],
      [...MIN4, '--threshold', '0.3', '--full-metadata'],
    ]) {
      const refused = await filter(...args);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('what was made by other filters is not extended');
    }
    const scored = await cli([
      'score',
      pool,
      '--model',
      'demo',
      '--slug',
      'other',
      '--out',
      metadata,
      '--quiet',
    ]);
    expect(scored.code).toBe(1);
    expect(scored.stderr).toContain('this run would add all samples');
  });

  test('is what filter does not make of one that has all samples', async () => {
    const whole = join(folder, 'whole');
    const run = (...args: string[]) =>
      cli(['filter', pool, '--model', 'demo', '--out', whole, '--quiet', '--json', '--explain', ...args]);
    expect((await run('--fraction', '0.5')).code).toBe(0);
    const second = await run(...MIN4, '--threshold', '0.3');
    expect(JSON.parse(second.stdout)).toMatchObject({
      shards: { reused: 3 },
      plan: { off: expect.stringContaining('holds metadata of every sample already') },
    });
    expect(JSON.parse(second.stdout)).not.toHaveProperty('filtered');
  });

  test('of parts is merged where the same filters made them', async () => {
    const parts = ['0/2', '1/2'].map((index, i) => [index, join(folder, `part-${i}`)]);
    for (const [index, path] of parts) {
      const args = ['--shard-index', index, '--out', path, '--quiet', '--model', 'demo'];
      expect((await cli(['filter', pool, ...args, ...MIN4, '--threshold', '0.3'])).code).toBe(0);
    }
    const merge = (...folders: string[]) => cli(['merge', ...folders, '--out', join(folder, 'merged')]);
    const merged = await merge(...parts.map(([, path]) => join(path, 'metadata')));
    expect(merged.code).toBe(0);
    expect((await merge(metadata, full)).code).toBe(1);
  });

  test('is told of in figures of a pool', async () => {
    const out = join(folder, 'c.npy');
    const centroids = await cli(['centroids', metadata, '--k', '2', '--out', out]);
    expect(centroids.stdout + centroids.stderr).toContain('figures are of the rest');
  });
});

test('a recipe can ask for metadata of the whole pool', async () => {
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
  const run = await cli(['run', join(folder, 'recipe.yaml'), '--quiet', '--explain']);
  expect(run.stdout).toContain('plan: every sample is scored, as --full-metadata asks');
  expect(run.stdout).not.toContain('filtered');
});
