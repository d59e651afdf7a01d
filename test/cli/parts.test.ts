import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { cli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { filesOf, scratch, withoutTimes } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');
const whole = join(folder, 'whole');

async function score(out: string, ...args: string[]) {
  const result = await cli(['score', '--model', 'demo', '--json', '--quiet', '--out', out, ...args]);
  const { code, stdout, stderr } = result;
  return { code, stderr, summary: stdout === '' ? {} : (JSON.parse(stdout) as { [field: string]: unknown }) };
}

const json = async (path: string) => JSON.parse(await readFile(path, 'utf8')) as unknown;

beforeAll(async () => {
  await writePool(pool, 5, 4);
  await score(whole, pool);
});

describe('--shard-index', () => {
  test('each part scores its own, and all of them into one folder give the whole', async () => {
    const shared = join(folder, 'shared');
    const scored: unknown[] = [];
    for (const part of ['1/3', '0/3', '2/3']) {
      const { code, summary } = await score(shared, pool, '--shard-index', part);
      expect(code).toBe(0);
      scored.push(summary['scored']);
    }
    expect(scored).toEqual([8, 4, 8]);
    const files = await withoutTimes(shared);
    for (const i of [0, 1, 2]) {
      expect(await json(join(shared, `part-${i}-of-3.json`))).toMatchObject({
        index: i,
        shards: [1, 2, 2][i],
        pool: 5,
      });
      files.delete(`part-${i}-of-3.json`);
    }
    expect(files).toEqual(await withoutTimes(whole));
  });

  test('resharded parts hold together what the whole holds, in its order', async () => {
    const subset = join(folder, 'subset.npy');
    await cli(['select', whole, '--fraction', '0.5', '--out', subset]);
    const written: unknown[] = [];
    for (const part of ['0/2', '1/2']) {
      const out = join(folder, `reshard-${part[0]}`);
      const result = await cli([
        'reshard',
        pool,
        ...['--subset', subset, '--out', out, '--json', '--quiet', '--shard-index', part],
      ]);
      expect(result.code).toBe(0);
      written.push((JSON.parse(result.stdout) as { written: number }).written);
    }
    const out = join(folder, 'reshard');
    const all = await cli(['reshard', pool, '--subset', subset, '--out', out, '--json', '--quiet']);
    const { written: total } = JSON.parse(all.stdout) as { written: number };
    expect(Number(written[0]) + Number(written[1])).toBe(total);
  });

  test('filters a part by a threshold, and refuses a fraction of a part', async () => {
    const args = ['filter', pool, '--model', 'demo', '--shard-index', '0/2', '--json', '--quiet'];
    const out = join(folder, 'filtered');
    const kept = await cli([...args, '--threshold', '-1', '--out', out]);
    expect(kept.code).toBe(0);
    expect(JSON.parse(kept.stdout)).toMatchObject({ seen: 8, kept: 8, output: { samples: 8 } });
    const refused = await cli([...args, '--fraction', '0.5', '--out', out]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('a fraction of every part is not the fraction of the whole');
  });

  test.each(['3/3', '5', 'x/3', '0/6'])('%s is wrong usage', async (part) => {
    const { code, stderr } = await score(join(folder, 'never'), pool, '--shard-index', part);
    expect(code).toBe(2);
    expect(stderr).toContain(part === '0/6' ? 'at most 5 parts' : 'i from 0 to n−1');
  });
});

describe('shards that fail', () => {
  const bad = join(folder, 'bad');
  const good = join(folder, 'good');
  const metadata = join(folder, 'bad-metadata');
  beforeAll(async () => {
    await writePool(bad, 5, 3);
    await writePool(good, 5, 3);
    await writeFile(join(bad, '00001.tar'), 'no tar at all, a page that says 404'.repeat(40));
    await rm(join(bad, '00003.tar'));
  });
  const names = [0, 1, 2, 3, 4].map((i) => join(bad, `0000${i}.tar`));

  test('are recorded, and retried alone', async () => {
    const first = await score(metadata, ...names.slice(0, 4));
    expect(first.code).toBe(1);
    const unfinished = (await json(join(metadata, 'unfinished.json'))) as { failed: { shard: string }[] };
    expect(unfinished.failed.map(({ shard }) => shard)).toEqual(['00001', '00003']);
    for (const name of ['00001.tar', '00003.tar']) await copyFile(join(good, name), join(bad, name));
    const retried = await score(metadata, ...names, '--retry-failed');
    expect(retried.code).toBe(0);
    expect(retried.summary).toMatchObject({
      scored: 12,
      shards: { done: 2, reused: 2, failed: 0, untouched: 1 },
    });
    // 00004 was asked for and is still to be scored; then nothing is.
    expect(await json(join(metadata, 'unfinished.json'))).toEqual({ pending: ['00004'], failed: [] });
    expect((await score(metadata, ...names)).summary).toMatchObject({ shards: { done: 1, reused: 4 } });
    expect([...(await filesOf(metadata)).keys()]).not.toContain('unfinished.json');
  });

  test('are forgiven up to --max-failed, and filter goes on then', async () => {
    await writeFile(join(bad, '00001.tar'), 'no tar at all, a page that says 404'.repeat(40));
    const forgiven = await score(join(folder, 'forgiven'), ...names, '--max-failed', '20%');
    expect(forgiven.code).toBe(0);
    expect(forgiven.summary).toMatchObject({ shards: { done: 4, failed: 1 } });
    expect(forgiven.summary['failures']).toMatchObject([{ shard: '00001' }]);
    expect((await score(join(folder, 'forgiven'), ...names, '--max-failed', '19%')).code).toBe(1);
    const filter = (...args: string[]) =>
      cli(['filter', bad, '--model', 'demo', '--json', '--threshold', '-1', ...args]);
    const out = join(folder, 'forgiven-filter');
    const done = await filter('--out', out, '--max-failed', '1');
    expect(done.code).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject({ kept: 12, output: { samples: 12 } });
    expect(done.stderr).toContain('00001');
    const stopped = await filter('--out', out, '--max-failed', '0');
    expect(stopped.code).toBe(1);
    expect(stopped.stderr).toContain('1 of the shards failed');
  });

  test('are retried by filter too, which then copies anew; a recipe takes the same options', async () => {
    const out = join(folder, 'forgiven-filter');
    await copyFile(join(good, '00001.tar'), join(bad, '00001.tar'));
    const retried = await cli([
      'filter',
      bad,
      ...['--model', 'demo', '--json', '--quiet', '--threshold', '-1', '--out', out, '--retry-failed'],
    ]);
    expect(retried.code).toBe(0);
    expect(JSON.parse(retried.stdout)).toMatchObject({
      shards: { done: 1, reused: 4 },
      output: { samples: 15 },
    });
    await writeFile(join(bad, '00001.tar'), 'no tar at all, a page that says 404'.repeat(40));
    const recipe = join(folder, 'score.yaml');
    await writeFile(recipe, `shards: ${bad}\nmodels: [demo]\nmetadata: ${join(folder, 'by-recipe')}\n`);
    const run = async (...args: string[]) => {
      const { code, stdout } = await cli(['run', recipe, '--json', '--quiet', ...args]);
      return { code, ...(JSON.parse(stdout) as { score: object }) };
    };
    expect(await run('--shard-index', '0/2')).toMatchObject({
      code: 1,
      score: { shards: { done: 1, failed: 1 } },
    });
    expect(await run('--max-failed', '1')).toMatchObject({
      code: 0,
      score: { shards: { done: 3, reused: 1, failed: 1 } },
    });
    expect(await run('--retry-failed')).toMatchObject({
      code: 1,
      score: { shards: { reused: 4, failed: 1 } },
    });
  });

  test('end the run early when there are more', async () => {
    const out = join(folder, 'stopped');
    const result = await cli(['score', bad, '--model', 'demo', '--json', '--out', out, '--max-failed', '0']);
    expect(result.code).toBe(1);
    expect(JSON.parse(result.stdout)).toMatchObject({ shards: { done: 1, failed: 1, untouched: 3 } });
    expect(result.stderr).toContain('more shards failed than --max-failed allows');
    expect(await json(join(out, 'unfinished.json'))).toMatchObject({
      pending: ['00002', '00003', '00004'],
      failed: [{ shard: '00001', problem: 'not_a_tar' }],
    });
  });

  test.each([['2x'], ['101%'], ['-1']])('--max-failed %s is wrong usage', async (bound) => {
    const { code, stderr } = await score(join(folder, 'never'), pool, `--max-failed=${bound}`);
    expect(code).toBe(2);
    expect(stderr).toContain('a share such as 1%');
  });
});
