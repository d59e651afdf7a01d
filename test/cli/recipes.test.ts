import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readRecipe } from '../../cli/recipes/file.ts';
import { UsageError } from '../../src/errors.ts';
import { recipeJsonSchema } from '../../src/run/recipe.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { presetFilters } from '../../src/select/presets.ts';
import type { PresetName } from '../../src/select/spec.ts';
import { cli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const ROOT = join(import.meta.dirname, '../..');
const folder = await scratch();
const pool = join(folder, 'pool');
const metadata = join(folder, 'metadata');

beforeAll(async () => {
  await writePool(pool, 2, 10);
  const scored = await cli(['score', pool, '--model', 'demo', '--out', metadata, '--quiet']);
  expect(scored.code).toBe(0);
});

async function recipe(name: string, text: string): Promise<string> {
  const path = join(folder, `${name}.yaml`);
  await writeFile(path, text);
  return path;
}

describe('the recipes of the package', () => {
  test('the schema for editors is the one that recipes are checked with', async () => {
    const file = await readFile(join(ROOT, 'recipes/recipe.schema.json'), 'utf8');
    expect(JSON.parse(file), 'run: node tools/recipe-schema.ts').toEqual(
      JSON.parse(JSON.stringify(recipeJsonSchema())),
    );
  });

  test('each baseline says what its preset does, and all of them are valid', async () => {
    const files = { centroids: 'centroids.npy', targets: 'targets.npy' };
    const bound: { [name: string]: { arch?: string; fraction?: number } } = {
      clip_score: { arch: 'l14', fraction: 0.3 },
      image_based_intersect_clip_score: { arch: 'l14', fraction: 0.3 },
    };
    const baselines = [
      'no_filter',
      'basic_filter',
      'laion2b',
      'text_based',
      'image_based',
      ...Object.keys(bound),
    ];
    const names = (await readdir(join(ROOT, 'recipes'))).filter((name) => name.endsWith('.yaml'));
    for (const name of names) {
      const { filters, repeats } = await readRecipe(join(ROOT, 'recipes', name));
      const base = name.replace('.yaml', '');
      if (!baselines.includes(base)) continue;
      const preset = presetFilters({
        name: base as PresetName,
        ...(base.startsWith('image_based') ? files : {}),
        ...bound[base],
      });
      expect(filters, name).toEqual(parseFilters(preset));
      expect(repeats, name).toBe('keep');
    }
    expect(names.map((name) => name.replace('.yaml', ''))).toEqual(expect.arrayContaining(baselines));
  });

  test('run by name, on other metadata', async () => {
    const subset = join(folder, 'none.npy');
    const result = await cli(['run', 'no_filter', '--metadata', metadata, '--subset', subset]);
    expect(result.stdout).toContain('20 of 20 rows kept');
    expect(result.code).toBe(0);
    const selected = await cli([
      'select',
      metadata,
      '--recipe',
      'no_filter',
      '--out',
      join(folder, 'same.npy'),
    ]);
    expect(selected.code).toBe(0);
    expect(await readFile(join(folder, 'same.npy'))).toEqual(await readFile(subset));
    const mistyped = await cli(['run', 'nofilter', '--metadata', metadata, '--subset', subset]);
    expect(mistyped.code).toBe(2);
    expect(mistyped.stderr).toMatch(
      /no recipe called nofilter.*Did you mean no_filter\? There is basic_filter/,
    );
  });
});

describe('a recipe of one’s own', () => {
  test('scores, selects and reshards, and gives the bytes of the command line that it was printed from', async () => {
    const args = [pool, '--model', 'demo', '--where', "key <> '000000003'", '--fraction', '0.5', '--out'];
    const first = join(folder, 'first');
    expect((await cli(['filter', ...args, first, '--quiet'])).code).toBe(0);
    const second = join(folder, 'second');
    const printed = await cli(['filter', ...args, second, '--print-recipe']);
    expect(printed.code).toBe(0);
    const path = await recipe('printed', printed.stdout);
    const result = await cli(['run', path, '--quiet', '--json']);
    expect(result.code).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({ score: { scored: 20 }, select: { seen: 20 } });
    const bytes = async (out: string) =>
      new Map([...(await filesOf(out))].filter(([name]) => !name.endsWith('_stats.json')));
    expect(await bytes(second)).toEqual(await bytes(first));
  });

  test('keeps the language model that was asked for, also where it adds no column', async () => {
    const model = join(folder, 'lid.ftz');
    const flags = ['--preset', 'basic_filter', '--lid', model, '--out'];
    const printed = await cli(['select', metadata, ...flags, join(folder, 'lid.npy'), '--print-recipe']);
    expect(printed.stdout).toContain(`lid: ${model}`);
    const result = await cli(['run', await recipe('lid', printed.stdout)]);
    // The model is missing, which is found out while selecting: nothing was to be added to the metadata.
    expect(result.stderr).toMatch(/language model cannot be read.*lid\.ftz/);
  });

  test('the record beside the subset says what was done, the same on every run', async () => {
    const path = await recipe('twice', 'filters:\n  - score: {fraction: 0.3}\n  - caption: {min_words: 2}\n');
    const records: string[] = [];
    for (const name of ['a', 'b']) {
      const subset = join(folder, `${name}.npy`);
      expect((await cli(['run', path, '--metadata', metadata, '--subset', subset])).code).toBe(0);
      records.push(await readFile(join(folder, `${name}.json`), 'utf8'));
    }
    expect(records[0]).toBe(records[1]);
    expect(JSON.parse(records[0])).toMatchObject({
      recipe: { filters: [{ score: { fraction: 0.3, of: 'pool' } }, {}], strict: false, repeats: 'drop' },
      input: { rows: 20, files: 2, fingerprint: expect.stringMatching(/^[0-9a-f]{32}$/) },
      steps: [{ before: 20, after: 7, found: [{ threshold: expect.any(Number) }] }, { before: 7 }],
    });
  });

  test('a dry run of select writes nothing and prints funnel, overlap and quantiles', async () => {
    const before = (await readdir(folder)).sort();
    const args = [
      'select',
      metadata,
      '--fraction',
      '0.3',
      '--filter',
      '{caption: {min_words: 2}}',
      '--dry-run',
    ];
    const { stdout, code } = await cli(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/score fraction 0\.3 +7 +35\.0%/);
    expect(stdout).toMatch(/rows that two filters both keep/);
    expect(stdout).toMatch(/quantiles of the scores[\s\S]*clip_demo_similarity_score/);
    const json = JSON.parse((await cli([...args, '--json'])).stdout) as {
      spreads: { quantiles: number[] }[];
    };
    expect(json.spreads[0].quantiles).toHaveLength(11);
    expect((await readdir(folder)).sort()).toEqual(before);
  });
});

describe('what is wrong with a recipe is said with file and place', () => {
  test.each<[string, string, RegExp]>([
    ['no yaml', 'filters: [', /not YAML:.*line \d+, column \d+/],
    ['two documents', 'a: 1\n---\nb: 2\n', /not YAML/],
    [
      'a bomb',
      `${['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
        .map(
          (x, i, all) =>
            `${x}: &${x} [${
              i === 0
                ? 'x'
                : Array(9)
                    .fill(`*${all[i - 1]}`)
                    .join()
            }]`,
        )
        .join('\n')}\n`,
      /not YAML that a recipe may hold/,
    ],
    ['a list', '- a\n', /a recipe is a mapping/],
    ['a field', 'filtres: []\n', /no field filtres\. Did you mean filters\?/],
    [
      'a filter',
      'filters: [{skore: {}}]\n',
      /filters\[0\]: no filter is called skore\. Did you mean score\?/,
    ],
    [
      'a parameter',
      'filters: [{score: {fraction: 3}}]\n',
      /filters\[0\]\.score\.fraction: must be above 0 and at most 1, not 3/,
    ],
    ['nothing', 'strict: true\n', /does nothing/],
    ['no subset', 'filters: []\nmetadata: x\n', /no subset, which selecting needs/],
    [
      'two folders',
      'models: [demo]\nshards: x\nmetadata: [a, b]\n',
      /writes into one folder, and metadata names 2/,
    ],
  ])('%s', async (name, text, message) => {
    const path = await recipe(name.replaceAll(' ', '-'), text);
    const result = await cli(['run', path]);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
    if (name !== 'nothing' && !name.startsWith('no subset') && name !== 'two folders') {
      expect(result.stderr).toContain(path);
      await expect(readRecipe(path)).rejects.toThrow(UsageError);
    }
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });

  test.each<[string[], RegExp]>([
    [['--preset', 'basic_filter', '--arch', 'b32'], /preset basic_filter takes no arch/],
    [['--preset', 'clip_score', '--fraction', '0.3', '--targets', 'x.npy'], /clip_score takes no targets/],
    [['--fraction', '0.3', '--centroids', 'x.npy'], /--centroids is of a preset/],
    [['--preset', 'basic_filter', '--of', 'rest'], /--of is of --fraction/],
  ])('a flag that would not be heeded is refused: %j', async (flags, message) => {
    const result = await cli(['select', metadata, ...flags, '--dry-run']);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
  });

  test('a file that a filter names is missed before anything is scored', async () => {
    const out = join(folder, 'never');
    const result = await cli(['filter', pool, '--model', 'demo', '--block', 'uid:missing.txt', '--out', out]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('missing.txt');
    expect(await readdir(folder)).not.toContain('never');
  });

  test('a fraction of a pilot is refused, unless that is said', async () => {
    const pilot = join(folder, 'pilot');
    await cli(['score', pool, '--model', 'demo', '--limit', '5', '--out', pilot, '--quiet']);
    const args = ['select', pilot, '--fraction', '0.5', '--out', join(folder, 'pilot.npy')];
    const refused = await cli(args);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/not all of the pool is here.*--allow-partial/);
    expect((await cli([...args, '--allow-partial'])).code).toBe(0);
    const threshold = ['select', pilot, '--threshold', '0', '--out', join(folder, 'pilot.npy')];
    expect((await cli(threshold)).code).toBe(0);
  });
});
