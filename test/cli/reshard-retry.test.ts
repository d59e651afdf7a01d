import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { fileSource } from '../../cli/io/file.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { writeSubset } from '../../src/uids/npy.ts';
import { parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { cli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const at = (...names: string[]) => join(folder, ...names);
const good = at('good');
const pool = at('pool');
const out = at('out');
const names = ['00000.tar', '00001.tar', '00002.tar', '00003.tar'];

async function reshard(target: string, shards: string[], ...args: string[]) {
  const { code, stdout, stderr } = await cli([
    'reshard',
    ...shards,
    ...['--subset', at('subset.npy'), '--out', target, '--shard-size', '5', '--json', '--quiet', ...args],
  ]);
  return { code, stderr, report: stdout === '' ? {} : (JSON.parse(stdout) as { [field: string]: unknown }) };
}

/** Every member of every sample of a folder of shards, by sample, in order of the samples' keys. */
async function samplesOf(path: string): Promise<[string, string[]][]> {
  const samples: [string, string[]][] = [];
  for (const name of [...(await filesOf(path)).keys()].filter((file) => file.endsWith('.tar'))) {
    for await (const { key, members } of readSamples(fileSource(join(path, name)).stream(), {
      shard: name,
    })) {
      samples.push([key, members.map(({ bytes }) => Buffer.from(bytes).toString('base64'))]);
    }
  }
  return samples.sort(([a], [b]) => (a < b ? -1 : 1));
}

const meta = async (path: string) =>
  JSON.parse(await readFile(join(path, 'meta.json'), 'utf8')) as { [field: string]: unknown };

beforeAll(async () => {
  await writePool(good, 4, 6);
  await writePool(pool, 4, 6);
  // Every sample but each third; one twice.
  const kept = Array.from({ length: 24 }, (_, i) => i).filter((i) => i % 3 !== 0);
  const uids: Uids = new BigUint64Array(2 * (kept.length + 1));
  for (const [at, i] of [...kept, 4].entries()) {
    parseUidText(i.toString(16).padStart(32, '0'), wordsOf(uids), at);
  }
  await writeSubset(openFolder(folder), 'subset.npy', uids, { multiset: true });
  await writeFile(join(pool, '00001.tar'), 'no tar at all, a page that says 404'.repeat(40));
  const cut = await readFile(join(pool, '00002.tar'));
  await writeFile(join(pool, '00002.tar'), cut.subarray(0, Math.floor(cut.length * 0.6) + 100));
});

describe('reshard --retry-failed', () => {
  const all = names.map((name) => join(pool, name));

  test('reads what failed, from where it broke off, and completes the folder', async () => {
    const first = await reshard(out, all);
    expect(first.code).toBe(1);
    expect(await meta(out)).toMatchObject({
      complete: false,
      failed: [
        { shard: '00001', problem: 'not_a_tar', seen: 0 },
        { shard: '00002', problem: 'truncated', seen: expect.any(Number) },
      ],
    });
    await copyFile(join(good, '00002.tar'), join(pool, '00002.tar'));
    const second = await reshard(out, all, '--retry-failed');
    expect(second.code).toBe(1);
    expect(await meta(out)).toMatchObject({ complete: false, failed: [{ shard: '00001' }] });
    await copyFile(join(good, '00001.tar'), join(pool, '00001.tar'));
    const before = await filesOf(out);
    // What a killed retry left behind goes.
    await writeFile(join(out, '00000042.tar'), 'x');
    const third = await reshard(out, all, '--retry-failed');
    expect(third.code).toBe(0);
    expect(third.report).toMatchObject({ seen: 6, written: 4, not_found: { count: 0 } });

    const whole = at('whole');
    await reshard(whole, all);
    expect(await samplesOf(out)).toEqual(await samplesOf(whole));
    const { output_shard_count: shards, ...counts } = await meta(whole);
    const { output_shard_count: more, ...same } = await meta(out);
    expect(same).toEqual(counts);
    expect(more).toBeGreaterThanOrEqual(Number(shards));
    const after = await filesOf(out);
    for (const [name, bytes] of before) if (name.endsWith('.tar')) expect(after.get(name)).toEqual(bytes);
    expect(after.has('00000042.tar')).toBe(false);
    expect((await cli(['verify', out, '--deep'])).code).toBe(0);
    expect((await reshard(out, all, '--retry-failed')).report).toMatchObject({ seen: 0, written: 0 });
    expect(await filesOf(out)).toEqual(after);
  });

  test('keeps what it was not given, and refuses another subset or no run at all', async () => {
    const target = at('kept');
    await rm(join(pool, '00003.tar'));
    await reshard(target, all);
    expect((await reshard(target, all.slice(0, 2), '--retry-failed')).code).toBe(0);
    expect(await meta(target)).toMatchObject({ complete: false, failed: [{ shard: '00003' }] });
    expect((await reshard(at('nothing'), all, '--retry-failed')).stderr).toContain('no run of reshard');
    const uids: Uids = new BigUint64Array([0n, 1n]);
    await writeSubset(openFolder(folder), 'subset.npy', uids);
    const refused = await reshard(target, all, '--retry-failed');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('was made by another subset');
  });
});
