import { cp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { scoreShards } from '../../cli/jobs/score.ts';
import { cli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { filesOf, scratch, withoutTimes } from '../helpers/tmp.ts';

const folder = await scratch();
const at = (...names: string[]) => join(folder, ...names);
const pool = at('pool');
const parts = [0, 1, 2].map((i) => at(`part-${i}`));

const score = (out: string, shards: string | string[], options: object = {}) =>
  scoreShards({ shards, out, models: ['demo'], ...options });

async function merge(out: string, ...args: string[]) {
  const { code, stdout, stderr } = await cli(['merge', '--json', '--out', out, ...args]);
  return { code, stderr, totals: stdout === '' ? {} : (JSON.parse(stdout) as { [field: string]: unknown }) };
}

beforeAll(async () => {
  await writePool(pool, 5, 3);
  await score(at('whole'), pool);
  for (const [index, out] of parts.entries()) await score(out, pool, { part: { index, count: 3 } });
});

describe('merging metadata', () => {
  test('gives what one machine writes, and does nothing the second time', async () => {
    const out = at('merged');
    const { code, totals } = await merge(out, ...parts);
    expect(code).toBe(0);
    expect(totals).toMatchObject({ kind: 'metadata', shards: 5, merged: 5, there: 0, rows: 15 });
    expect(await withoutTimes(out)).toEqual(await withoutTimes(at('whole')));
    expect((await stat(join(out, '00000.npz'))).ino).toBe((await stat(join(parts[0], '00000.npz'))).ino);
    const before = await filesOf(out);
    expect((await merge(out, ...parts)).totals).toMatchObject({ merged: 0, there: 5 });
    expect(await filesOf(out)).toEqual(before);
  });

  test('takes up what was stopped', async () => {
    const out = at('stopped');
    await merge(out, ...parts);
    await rm(join(out, '00003_stats.json'));
    await rm(join(out, '00004.parquet'));
    await rm(join(out, '00004_stats.json'));
    expect((await merge(out, ...parts)).totals).toMatchObject({ merged: 2, there: 3 });
    expect(await withoutTimes(out)).toEqual(await withoutTimes(at('whole')));
  });

  test('refuses a missing part unless told, and then says what it lacks until it is there', async () => {
    const out = at('partial');
    const refused = await merge(out, parts[0], parts[2]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('of the parts, 1/3 is not there');
    const partial = await merge(out, parts[0], parts[2], '--partial');
    expect(partial.totals).toMatchObject({ shards: 3, missing: [{ index: 1, count: 3 }] });
    expect([...(await filesOf(out)).keys()]).toContain('part-0-of-3.json');
    expect((await merge(out, parts[1])).totals).toMatchObject({ missing: [] });
    expect(await withoutTimes(out)).toEqual(await withoutTimes(at('whole')));
  });

  test('takes a shard that two parts hold once, and refuses two versions of it', async () => {
    const twice = await merge(at('twice'), at('whole'), parts[0], '--partial');
    expect(twice.totals).toMatchObject({ shards: 5, repeated: 1, rows: 15 });
    const other = at('other-pool');
    await writePool(other, 1, 2);
    await score(at('other'), other);
    const refused = await merge(at('never'), at('whole'), at('other'));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/whole and .*other both hold this shard.*shard 00000/);
  });

  test('passes on what failed, but for what another part has', async () => {
    const bad = at('bad-pool');
    await writePool(bad, 2, 3);
    await writeFile(join(bad, '00001.tar'), 'no tar at all, a page that says 404'.repeat(40));
    await writeFile(join(bad, '00009.tar'), 'nor is this one, not in the least'.repeat(40));
    await score(at('bad'), bad);
    const { totals } = await merge(at('bad-merged'), at('bad'), at('whole'));
    expect(totals).toMatchObject({ failed: ['00009'], pending: [] });
    expect(JSON.parse(await readFile(at('bad-merged/unfinished.json'), 'utf8'))).toMatchObject({
      failed: [{ shard: '00009', problem: 'not_a_tar' }],
    });
  });

  test.each<[string, () => Promise<string[]>, number, RegExp]>([
    [
      'made with other settings',
      async () => {
        await score(at('json'), pool, { caption: 'json:url' });
        return [at('whole'), at('json')];
      },
      1,
      /whole and .*json cannot be merged: rows was made with other settings, .*caption "txt" and "json:url"/,
    ],
    [
      'that lack a model',
      async () => {
        await cp(at('whole'), at('two'), { recursive: true });
        await score(at('two'), pool, { slugs: ['again'] });
        return [at('whole'), at('two')];
      },
      1,
      /whole has no model again/,
    ],
    [
      'half written',
      async () => {
        await cp(at('whole'), at('half'), { recursive: true });
        await rm(at('half/00002_stats.json'));
        return [at('half')];
      },
      1,
      /half holds 1 shards not fully written, 00002 first/,
    ],
    [
      'of another list',
      async () => {
        await score(at('short'), [join(pool, '00000.tar'), join(pool, '00001.tar')], {
          part: { index: 1, count: 2 },
        });
        return [parts[0], at('short')];
      },
      1,
      /part-0-of-3.json is of 5 shards, part-1-of-2.json of 2/,
    ],
    ['that are not Shardsieve’s', async () => [pool], 1, /pool holds no metadata of Shardsieve's/],
    ['that are not there', async () => [at('nowhere')], 2, /there is no folder .*nowhere/],
    ['given twice', async () => [parts[0], parts[0]], 2, /are one folder/],
  ])('refuses folders %s, by name', async (_, make, code, message) => {
    const result = await merge(at('never'), ...(await make()));
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    expect(result.code).toBe(code);
  });

  test('refuses to write into one of the parts', async () => {
    expect((await merge(parts[0], ...parts)).stderr).toContain('is one of the parts and the --out');
  });
});

describe('selecting by parts', () => {
  const select = (out: string, ...args: string[]) =>
    cli(['select', ...args, '--fraction', '0.4', '--out', at(out), '--json']);

  test('all parts side by side give the subset of the whole; one of them alone is refused', async () => {
    expect((await select('by-whole.npy', at('whole'))).code).toBe(0);
    expect((await select('by-parts.npy', ...parts)).code).toBe(0);
    expect(await readFile(at('by-parts.npy'))).toEqual(await readFile(at('by-whole.npy')));
    const refused = await select('by-part.npy', parts[0]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('1 of 3 parts of a pool of 5 shards');
  });
});

describe('merging resharded samples', () => {
  const reshard = async (out: string, ...args: string[]) =>
    cli(['reshard', pool, '--subset', at('subset.npy'), '--out', out, '--quiet', ...args]);
  const shards = [0, 1].map((i) => at(`shards-${i}`));
  beforeAll(async () => {
    await cli(['select', at('whole'), '--threshold', '-1', '--out', at('subset.npy')]);
    for (const [i, out] of shards.entries()) {
      await reshard(out, '--shard-index', `${i}/2`, '--shard-size', '3');
    }
    await reshard(at('shards-whole'), '--shard-size', '3');
  });

  test('numbers shards anew, in the order of the parts, and keeps every byte', async () => {
    const out = at('shards');
    expect((await merge(out, ...shards)).totals).toEqual({ kind: 'shards', shards: 5, samples: 15 });
    // Parts of whole shards, so that the tars are those of one run.
    expect(await filesOf(out)).toEqual(await filesOf(at('shards-whole')));
    await merge(out, shards[1], shards[0]);
    const swapped = await filesOf(out);
    expect(swapped.get('00000000.tar')).toEqual((await filesOf(shards[1])).get('00000000.tar'));
    expect(swapped.size).toBe((await filesOf(at('shards-whole'))).size);
  });

  test('refuses what is not complete, and metadata beside shards', async () => {
    await cp(shards[0], at('open'), { recursive: true });
    const meta = JSON.parse(await readFile(at('open/meta.json'), 'utf8')) as object;
    await writeFile(at('open/meta.json'), JSON.stringify({ ...meta, complete: false }));
    expect((await merge(at('never-shards'), at('open'), shards[1])).stderr).toContain('open is not complete');
    expect((await merge(at('never-shards'), at('open'), shards[1], '--partial')).code).toBe(0);
    expect((await merge(at('never-shards'), shards[0], at('whole'))).stderr).toContain(
      'holds resharded samples',
    );
  });
});
