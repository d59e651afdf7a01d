import { readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { fileSource } from '../../cli/io/file.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { cli } from '../helpers/cli.ts';
import { goodSamples, picture, tarOf, writePool } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');
const out = join(folder, 'out');

interface Summary {
  [field: string]: unknown;
}

async function filter(...args: string[]): Promise<{ code: number | null; summary: Summary; stderr: string }> {
  const result = await cli(['filter', ...args, '--model', 'demo', '--json', '--quiet']);
  return {
    code: result.code,
    summary: result.stdout === '' ? {} : (JSON.parse(result.stdout) as Summary),
    stderr: result.stderr,
  };
}

/** Everything but the times, which live in `_stats.json` alone. */
async function withoutTimes(path: string): Promise<Map<string, string>> {
  const files = await filesOf(path);
  return new Map(
    [...files].map(([name, bytes]) => [
      name,
      name.startsWith('metadata') && name.endsWith('_stats.json')
        ? bytes.toString().replaceAll(/"(start_time|end_time|seconds)": [^\n]*/g, '')
        : bytes.toString('base64'),
    ]),
  );
}

beforeAll(async () => {
  await writePool(pool, 3, 24);
});

describe('filter', () => {
  let summary: Summary;
  test('writes metadata, subset and shards, and says what it did', async () => {
    const result = await filter(pool, '--fraction', '0.25', '--out', out);
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    summary = result.summary;
    expect(summary).toMatchObject({
      seen: 72,
      scored: 72,
      skipped: {},
      kept: 19,
      dropped: 53,
      column: 'clip_demo_similarity_score',
      shards: { done: 3, reused: 0, failed: 0, truncated: 0 },
      output: { samples: 19, shards: 1 },
    });
    expect([...(await filesOf(out)).keys()]).toEqual([
      'metadata/00000.npz',
      'metadata/00000.parquet',
      'metadata/00000_skipped.jsonl',
      'metadata/00000_stats.json',
      'metadata/00001.npz',
      'metadata/00001.parquet',
      'metadata/00001_skipped.jsonl',
      'metadata/00001_stats.json',
      'metadata/00002.npz',
      'metadata/00002.parquet',
      'metadata/00002_skipped.jsonl',
      'metadata/00002_stats.json',
      'metadata/run.json',
      'shards/00000000.tar',
      'shards/00000000_stats.json',
      'shards/meta.json',
      'shards/sample_ids.npy',
      'shards/sizes.json',
      'subset.json',
      'subset.npy',
    ]);
  });

  test('keeps the rows with the best scores, bytes untouched and in input order', async () => {
    const metadata = openFolder(join(out, 'metadata'), { readOnly: true });
    const scored: { key: string; score: number }[] = [];
    for (const shard of ['00000', '00001', '00002']) {
      const columns = await readColumns(metadata, `${shard}.parquet`);
      const values = (name: string) => columns.find((column) => column.name === name)!.values;
      values('key').forEach((key, row) => {
        scored.push({ key: String(key), score: Number(values('clip_demo_similarity_score')[row]) });
      });
    }
    const best = [...scored].sort((a, b) => b.score - a.score).slice(0, 19);
    const wanted = new Set(best.map(({ key }) => key));
    const originals = new Map((await goodSamples(0, 72)).map((sample) => [sample.key, sample]));
    const kept: string[] = [];
    for await (const sample of readSamples(fileSource(join(out, 'shards/00000000.tar')).stream(), {
      shard: 'out',
    })) {
      kept.push(sample.key);
      const { members } = originals.get(sample.key)!;
      for (const { ext, bytes } of sample.members) {
        const original = members[ext];
        const text = typeof original === 'string' ? original : JSON.stringify(original);
        expect(Buffer.from(bytes)).toEqual(Buffer.from(original instanceof Uint8Array ? original : text));
      }
    }
    expect(kept).toEqual(scored.map(({ key }) => key).filter((key) => wanted.has(key)));
  });

  test('a second run finds everything done and changes no byte', async () => {
    const before = await filesOf(out);
    const again = await filter(pool, '--fraction', '0.25', '--out', out);
    expect(again.code).toBe(0);
    expect(again.summary).toMatchObject({ shards: { done: 0, reused: 3 }, kept: 19, seen: 72 });
    expect(await filesOf(out)).toEqual(before);
  });

  test('another folder gets the same bytes, but for the times', async () => {
    const other = join(folder, 'other');
    await filter(pool, '--fraction', '0.25', '--out', other);
    expect(await withoutTimes(other)).toEqual(await withoutTimes(out));
  });

  test('score, select and reshard one by one give what filter gives', async () => {
    const metadata = join(folder, 'single/metadata');
    const subset = join(folder, 'single/subset.npy');
    const shards = join(folder, 'single/shards');
    const score = await cli(['score', pool, '--model', 'demo', '--out', metadata, '--quiet']);
    expect(score.code).toBe(0);
    expect(score.stdout).toContain('72 samples seen, 72 scored, 0 skipped');
    expect((await cli(['select', metadata, '--fraction', '0.25', '--out', subset])).code).toBe(0);
    expect((await cli(['reshard', pool, '--subset', subset, '--out', shards, '--quiet'])).code).toBe(0);
    expect(await withoutTimes(join(folder, 'single'))).toEqual(await withoutTimes(out));
  });

  test('run.json names the model by its weights', async () => {
    const run = JSON.parse(await readFile(join(out, 'metadata/run.json'), 'utf8')) as {
      models: { demo: { [field: string]: unknown } };
    };
    expect(run.models.demo).toMatchObject({
      name: 'demo',
      weights_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      precision: 'fp32',
      provider: 'cpu',
    });
  });
});

describe('what goes wrong', () => {
  test('every kind of bad sample is skipped for its own reason, and the sums hold', async () => {
    const good = await goodSamples(0, 2);
    const jpg = await picture(1);
    const bomb = new Uint8Array(await picture(2, 'png'));
    new DataView(bomb.buffer).setUint32(16, 60_000);
    new DataView(bomb.buffer).setUint32(20, 60_000);
    new DataView(bomb.buffer).setUint32(29, crc32(bomb.subarray(12, 29)));
    const path = join(folder, 'bad.tar');
    await writeFile(
      path,
      await tarOf([
        good[0],
        { key: 'noimage', members: { txt: 'a fox' } },
        { key: 'nocaption', members: { jpg } },
        { key: 'empty', members: { jpg, txt: ' \n' } },
        { key: 'latin1', members: { jpg, txt: new Uint8Array([0x63, 0xe9]) } },
        { key: 'cut', members: { jpg: jpg.subarray(0, jpg.length / 2), txt: 'a fox' } },
        { key: 'noise', members: { jpg: new Uint8Array(200).fill(7), txt: 'a fox' } },
        { key: 'bomb', members: { png: bomb, txt: 'a fox' } },
        { key: 'badjson', members: { jpg, txt: 'a fox', json: '{"uid": ' } },
        { key: 'baduid', members: { jpg, txt: 'a fox', json: '{"uid": "12"}' } },
        good[1],
        { key: good[0].key, members: { jpg, txt: 'again' } },
      ]),
    );
    const metadata = join(folder, 'bad-metadata');
    const result = await cli(['score', path, '--model', 'demo', '--out', metadata, '--json', '--quiet']);
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({
      seen: 12,
      scored: 2,
      skipped: {
        no_image: 1,
        no_caption: 1,
        empty_caption: 1,
        caption_not_utf8: 1,
        undecodable_image: 2,
        image_too_large: 1,
        bad_json: 1,
        bad_uid: 1,
        repeated_key: 1,
      },
    });
    const lines = (await readFile(join(metadata, 'bad_skipped.jsonl'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { key: string }).key)).toEqual([
      'noimage',
      'nocaption',
      'empty',
      'latin1',
      'cut',
      'noise',
      'bomb',
      'badjson',
      'baduid',
      good[0].key,
    ]);
  });

  test('a shard that is no tar fails by name, its metadata is absent, the others are written, nothing is selected', async () => {
    const bad = join(folder, 'with-bad');
    await writePool(bad, 2, 6);
    await writeFile(join(bad, '00001.tar'), 'this is a page that says 404, not a tar'.repeat(40));
    const target = join(folder, 'with-bad-out');
    const result = await cli([
      'filter',
      bad,
      '--model',
      'demo',
      '--fraction',
      '0.5',
      '--out',
      target,
      '--json',
    ]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('00001');
    expect(result.stderr).not.toMatch(/\n\s+at /);
    expect(JSON.parse(result.stdout)).toMatchObject({ scored: 6, shards: { done: 1, failed: 1 } });
    const names = [...(await filesOf(target)).keys()];
    expect(names).toContain('metadata/00000.parquet');
    expect(names).not.toContain('metadata/00001.parquet');
    expect(names).not.toContain('subset.npy');
    const allowed = await filter(bad, '--fraction', '0.5', '--out', target, '--allow-failed');
    expect(allowed.code).toBe(0);
    expect(allowed.summary).toMatchObject({ kept: 4, shards: { reused: 1, failed: 1 } });
  });

  test('a shard that ends early gives what was whole and is marked', async () => {
    const whole = await tarOf(await goodSamples(0, 10));
    const path = join(folder, 'short.tar');
    await writeFile(path, whole.subarray(0, Math.floor(whole.length * 0.6)));
    const metadata = join(folder, 'short-metadata');
    const run = () => cli(['score', path, '--model', 'demo', '--out', metadata, '--json', '--quiet']);
    const result = await run();
    expect(result.code).toBe(1);
    const summary = JSON.parse(result.stdout) as {
      seen: number;
      scored: number;
      skipped: Record<string, number>;
    };
    expect(summary.scored).toBeGreaterThan(3);
    expect(summary.skipped).toEqual({ truncated: 1 });
    expect(summary.seen).toBe(summary.scored + 1);
    expect(JSON.parse(await readFile(join(metadata, 'short_stats.json'), 'utf8'))).toMatchObject({
      truncated: true,
    });
    expect((await run()).code).toBe(1);
    const allowed = await cli([
      'score',
      path,
      '--model',
      'demo',
      '--out',
      metadata,
      '--quiet',
      '--allow-truncated',
    ]);
    expect(allowed.code).toBe(0);
  });

  test('a pool in which nothing can be scored ends with 3', async () => {
    const path = join(folder, 'nothing.tar');
    await writeFile(path, await tarOf([{ key: 'a', members: { txt: 'no picture' } }]));
    const result = await cli(['score', path, '--model', 'demo', '--out', join(folder, 'nothing')]);
    expect(result.code).toBe(3);
    expect(result.stderr).toContain('nothing at all was scored');
  });

  test('filter tells what scoring did before it says why it stops', async () => {
    const path = join(folder, 'no-picture.tar');
    await writeFile(path, await tarOf([{ key: 'a', members: { txt: 'no picture' } }]));
    const result = await filter(path, '--fraction', '0.5', '--out', join(folder, 'no-picture'));
    expect(result.code).toBe(3);
    expect(result.summary).toMatchObject({ seen: 1, scored: 0, skipped: { no_image: 1 } });
  });

  test('a filter that only a short shard stops names the option that lets it go on', async () => {
    const whole = await tarOf(await goodSamples(0, 6));
    const path = join(folder, 'early.tar');
    await writeFile(path, whole.subarray(0, Math.floor(whole.length * 0.6) + 100));
    const target = join(folder, 'early');
    const stopped = await filter(path, '--fraction', '0.5', '--out', target);
    expect(stopped.code).toBe(1);
    expect(stopped.stderr).toContain('--allow-truncated');
    expect((await filter(path, '--fraction', '0.5', '--out', target, '--allow-truncated')).code).toBe(0);
  });

  test.each([
    [['filter', 'x.tar', '--out', 'o'], 'say which samples to keep'],
    [['filter', 'x.tar', '--out', 'o', '--fraction', '2'], 'above 0 and at most 1'],
    [['filter', 'x.tar', '--out', 'o', '--fraction', '0.3', '--threshold', '0.2'], 'cannot be used with'],
    [['filter', '--fraction', '0.3', '--out', 'o'], 'missing required argument'],
    [['score', 'x.tar', '--modle', 'demo', '--out', 'o'], 'Did you mean --model'],
    [['score', 'nothing-here/*.tar', '--model', 'demo', '--out', 'o'], 'matches no file'],
    [['score', '-', '--model', 'demo', '--out', 'o'], '--name'],
    [['score', pool, '--model', 'dmo', '--out', 'o'], 'demo'],
    [['score', pool, '--model', 'demo', '--caption', 'cap', '--out', 'o'], 'json:FIELD'],
    [['score', pool, '--model', 'demo', '--model', 'demo', '--out', 'o'], '--slug'],
    [['filter', '-', '--model', 'demo', '--fraction', '0.3', '--out', 'o'], 'stdin can be read once'],
    [['frobnicate'], 'unknown command'],
  ])('%j is wrong usage and says why', async (args, text) => {
    const result = await cli(args, { cwd: folder });
    expect(result.stderr).toContain(text);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    expect(result.code).toBe(2);
    expect(result.stdout).toBe('');
  });
});

describe('going on and adding', () => {
  test('a second model adds its columns to the same rows; other options are refused', async () => {
    const metadata = join(folder, 'two');
    const [shard] = await writePool(join(folder, 'two-pool'), 1, 8);
    const score = (...args: string[]) =>
      cli(['score', shard, '--out', metadata, '--quiet', '--model', 'demo', ...args]);
    expect((await score()).code).toBe(0);
    expect((await score('--slug', 'again')).code).toBe(0);
    const columns = await readColumns(openFolder(metadata, { readOnly: true }), '00000.parquet');
    const values = (name: string) => columns.find((column) => column.name === name)!.values;
    expect(values('clip_again_similarity_score')).toEqual(values('clip_demo_similarity_score'));
    const refused = await score('--caption', 'json:url');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('caption');
    const visual = await score('--fit', 'visual');
    expect(visual.code).toBe(1);
    expect(visual.stderr).toContain('--slug');
  });

  test('embeddings left out at first are made by a run that wants them, and give the files of one pass', async () => {
    const [shard] = await writePool(join(folder, 'lean-pool'), 1, 6);
    const score = (metadata: string, ...args: string[]) =>
      cli(['score', shard, '--model', 'demo', '--out', join(folder, metadata), '--json', '--quiet', ...args]);
    await score('lean', '--no-embeddings');
    expect([...(await filesOf(join(folder, 'lean'))).keys()]).not.toContain('00000.npz');
    expect(JSON.parse((await score('lean')).stdout)).toMatchObject({ shards: { done: 1, reused: 0 } });
    await score('full');
    for (const name of ['00000.npz', '00000.parquet']) {
      expect((await filesOf(join(folder, 'lean'))).get(name)).toEqual(
        (await filesOf(join(folder, 'full'))).get(name),
      );
    }
    for (const args of [[], ['--no-embeddings']]) {
      expect(JSON.parse((await score('lean', ...args)).stdout)).toMatchObject({ shards: { reused: 1 } });
    }
  });

  test('the same bytes with another time keep the columns of other models; other bytes lose them, and that is said', async () => {
    const [shard] = await writePool(join(folder, 'touched-pool'), 1, 4);
    const metadata = join(folder, 'touched');
    const score = (slug: string) =>
      cli(['score', shard, '--model', 'demo', '--slug', slug, '--out', metadata]);
    const scores = async () =>
      (await readColumns(openFolder(metadata, { readOnly: true }), '00000.parquet'))
        .map(({ name }) => name)
        .filter((name) => name.startsWith('clip_'));
    await score('one');
    await utimes(shard, 1, 1);
    await score('two');
    expect(await scores()).toEqual(['clip_one_similarity_score', 'clip_two_similarity_score']);
    expect((await score('one')).stdout).toContain('1 already done');
    await writeFile(shard, await tarOf(await goodSamples(8, 5)));
    const changed = await score('two');
    expect(changed.stderr).toContain('clip:one');
    expect(await scores()).toEqual(['clip_two_similarity_score']);
  });

  test('bytes that changed under the same size and time are never mixed with columns made before', async () => {
    const stealthy = join(folder, 'stealthy-pool');
    const [shard] = await writePool(stealthy, 2, 4);
    const metadata = join(folder, 'stealthy');
    const score = (slug: string, ...args: string[]) =>
      cli(['score', stealthy, '--model', 'demo', '--slug', slug, '--out', metadata, '--quiet', ...args]);
    await utimes(shard, 1, 1);
    await score('one');
    const bytes = await readFile(shard);
    bytes.write('Picture', bytes.indexOf('picture number'));
    await writeFile(shard, bytes);
    await utimes(shard, 1, 1);
    const refused = await score('two');
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain('--verify-input');
    expect((await score('two', '--verify-input')).code).toBe(0);
  });

  test('a pilot neither replaces nor completes a shard that is all there', async () => {
    const [shard] = await writePool(join(folder, 'whole-pool'), 1, 6);
    const metadata = join(folder, 'whole');
    const score = (...args: string[]) =>
      cli(['score', shard, '--model', 'demo', '--out', metadata, '--quiet', ...args]);
    await score();
    const before = (await filesOf(metadata)).get('00000.parquet');
    const second = await score('--slug', 'second', '--limit', '3');
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('a pilot takes a part of it');
    await utimes(shard, 1, 1);
    expect((await score('--limit', '3')).code).toBe(1);
    expect((await filesOf(metadata)).get('00000.parquet')).toEqual(before);
  });

  test('a tar on stdin, gzipped, is scored under the name given', async () => {
    const tar = await tarOf(await goodSamples(0, 5));
    const metadata = join(folder, 'stdin');
    const result = await cli(
      ['score', '-', '--name', '00007', '--model', 'demo', '--out', metadata, '--json', '--quiet'],
      {
        stdin: new Uint8Array(gzipSync(tar)),
      },
    );
    expect(result.code).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({ scored: 5 });
    expect([...(await filesOf(metadata)).keys()]).toContain('00007.parquet');
  });

  test('a changed input is scored again', async () => {
    const shards = join(folder, 'changed');
    const metadata = join(folder, 'changed-metadata');
    const [path] = await writePool(shards, 1, 4);
    const run = () => cli(['score', path, '--model', 'demo', '--out', metadata, '--json', '--quiet']);
    await run();
    await writeFile(path, await tarOf(await goodSamples(4, 6)));
    expect(JSON.parse((await run()).stdout)).toMatchObject({ scored: 6, shards: { done: 1, reused: 0 } });
  });

  test('a pilot looks at a part, says how long the whole takes, and does not count as done', async () => {
    const metadata = join(folder, 'pilot');
    const score = (...args: string[]) =>
      cli(['score', pool, '--model', 'demo', '--out', metadata, '--quiet', ...args]);
    const limited = await score('--limit', '30');
    expect(limited.code).toBe(0);
    expect(limited.stdout).toContain('30 samples seen');
    expect(limited.stdout).toMatch(/the whole takes about/);
    const whole = await score('--json');
    expect(JSON.parse(whole.stdout)).toMatchObject({ scored: 72, shards: { done: 2, reused: 1 } });
    const sampled = join(folder, 'sampled');
    const first = await cli([
      'score',
      pool,
      '--model',
      'demo',
      '--out',
      sampled,
      '--json',
      '--quiet',
      '--sample',
      '0.5',
    ]);
    const { scored, passed_over } = JSON.parse(first.stdout) as { scored: number; passed_over: number };
    expect(scored + passed_over).toBe(72);
    expect(scored).toBeGreaterThan(20);
    expect(scored).toBeLessThan(52);
  });
});
