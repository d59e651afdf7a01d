import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const cache = join(folder, 'cache');
const pool = join(folder, 'pool');
const at = (name: string) => join(folder, name);
const env = { SHARDSIEVE_QUANTISED: cache };
const DEMO = join(import.meta.dirname, '../../demo/shards/demo-00001.tar');

const score = (shards: string, out: string, ...more: string[]) =>
  cli(['score', shards, '--model', 'demo', '--out', at(out), '--no-embeddings', ...more], { env });

/** The one quantised file there is. */
async function quantised(): Promise<string> {
  const files = [...(await filesOf(cache)).keys()];
  expect(files).toHaveLength(1);
  return join(cache, files[0]);
}

async function modelsOf(out: string): Promise<{ [slug: string]: { [field: string]: unknown } }> {
  return JSON.parse(await readFile(join(at(out), 'run.json'), 'utf8')).models;
}

beforeAll(() => writePool(pool, 2, 6));

describe('another precision', () => {
  it('stands beside fp32 under a name of its own, and can be compared with it', async () => {
    expect((await score(DEMO, 'both')).code).toBe(0);
    const second = await score(DEMO, 'both', '--precision', 'int8');
    expect(second).toMatchObject({ code: 0 });
    expect(second.stderr).toMatch(/quantising the weights/);
    const models = await modelsOf('both');
    expect(Object.keys(models)).toEqual(['demo', 'demo_int8']);
    expect(models['demo_int8']).toMatchObject({
      precision: 'int8',
      quantised_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(models['demo_int8'].fingerprint).not.toBe(models['demo'].fingerprint);

    const columns = ['--column', 'demo', '--column', 'demo_int8', '--threshold', '0.35'];
    const compared = await cli(['compare', at('both'), at('both'), ...columns, '--json']);
    expect(compared.code).toBe(0);
    const found = JSON.parse(compared.stdout);
    expect(found.rows).toEqual({ both: 99, onlyFirst: 0, onlySecond: 0, unscored: 0 });
    expect(found.scores.spearman).toBeGreaterThan(0.995);
    expect(found.scores.maxAbsolute).toBeGreaterThan(0);
    expect(found.fractions.map(({ fraction }: { fraction: number }) => fraction)).toEqual([0.1, 0.3, 0.5]);
    const text = await cli(['compare', at('both'), at('both'), ...columns, '--fractions', '0.2,0.4']);
    expect(text.stdout).toMatch(/99 rows in both[\s\S]*best 40\.0%.*Jaccard[\s\S]*at or above 0\.35.*flip/);
  });

  it('is refused where its name holds other numbers, and says which', async () => {
    expect((await score(pool, 'mixed')).code).toBe(0);
    const before = await filesOf(at('mixed'));
    const refused = await score(pool, 'mixed', '--precision', 'int8', '--slug', 'demo');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/model demo .*precision: fp32 there, int8 now.*--slug/);
    expect(await filesOf(at('mixed'))).toEqual(before);
  });

  it('finds what it made: shards, and weights', async () => {
    expect((await score(pool, 'again', '--precision', 'int8-accurate')).code).toBe(0);
    const again = await score(pool, 'again', '--precision', 'int8-accurate');
    expect(again.stderr).not.toMatch(/quantising/);
    expect(again.stdout).toMatch(/2 .*already/);
    expect(Object.keys(await modelsOf('again'))).toEqual(['demo_int8_accurate']);
  });

  it('makes damaged weights again, the same', async () => {
    const file = await quantised();
    const good = await readFile(file);
    const flipped = Buffer.from(good);
    flipped[good.length - 100] ^= 1;
    await writeFile(file, flipped);
    const { code, stderr } = await score(pool, 'again', '--precision', 'int8-accurate');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/damaged, and are made again/),
    });
    expect(await readFile(await quantised())).toEqual(good);
  });

  it('can be calibrated by a shard, which makes other numbers', async () => {
    expect((await score(pool, 'own', '--precision', 'int8', '--slug', 'x')).code).toBe(0);
    const shard = join(pool, (await readdir(pool))[0]);
    const other = await score(pool, 'own', '--precision', 'int8', '--slug', 'x', '--calibrate', shard);
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/quantised_sha256/);
    const none = await score(pool, 'none', '--precision', 'int8', '--calibrate', at('no-such.tar'));
    expect(none).toMatchObject({ code: 1, stderr: expect.stringMatching(/no-such\.tar/) });
  });

  it.each<[string[], RegExp]>([
    [['--precision', 'fp16'], /fp16 is for GPUs/],
    [['--precision', 'int4'], /int8-accurate/],
    [['--calibrate', DEMO], /no scales to calibrate/],
  ])('is a usage error where no CPU has it or it makes no sense: %j', async (flags, message) => {
    const { code, stderr } = await score(pool, 'refused', ...flags);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
  });

  it('goes into a recipe', async () => {
    const printed = await cli(
      [
        'filter',
        pool,
        '--model',
        'demo',
        '--precision',
        'int8',
        '--fraction',
        '0.5',
        '--out',
        at('recipe'),
      ].concat('--print-recipe'),
      { env },
    );
    expect(printed.stdout).toMatch(/precision: int8/);
    await writeFile(at('recipe.yaml'), printed.stdout);
    const run = await cli(['run', at('recipe.yaml'), '--quiet'], { env });
    expect(run).toMatchObject({ code: 0 });
    const { models } = JSON.parse(await readFile(join(at('recipe'), 'metadata', 'run.json'), 'utf8'));
    expect(Object.keys(models)).toEqual(['demo_int8']);
  });
});
