import { describe, expect, it } from 'vitest';
import { MetadataError } from '../../src/errors.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { inspectFolder, prepareFolder, readStats } from '../../src/metadata/folder.ts';
import type { RunRecord } from '../../src/metadata/run.ts';
import { type ShardStats, sameInput, shardState } from '../../src/metadata/stats.ts';
import { fixtureFolder } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeOutput } from '../helpers/tables.ts';

const run = (...slugs: string[]): RunRecord => ({
  shardsieve: '0.1.0',
  rows: { fingerprint: 'r', caption: 'txt' },
  models: Object.fromEntries(slugs.map((slug) => [slug, { fingerprint: `fp-${slug}`, precision: 'fp32' }])),
});

describe('a metadata folder', () => {
  it('gets run.json before anything else, and keeps it byte for byte on the next run', async () => {
    const folder = new MemoryFolder();
    await prepareFolder(folder, run('b32'));
    const first = folder.text('run.json');
    await prepareFolder(folder, { ...run('b32'), shardsieve: '9.9.9' });
    expect(folder.text('run.json')).toBe(first);
    expect(folder.log.filter((event) => event === 'commit run.json')).toHaveLength(1);
    await commitShard(folder, '0', makeOutput(2, ['b32']));
    expect(await inspectFolder(folder)).toMatchObject({
      kind: 'shardsieve',
      shards: ['0'],
      committed: new Set(['0']),
    });
  });

  it('takes another model in, in the same bytes whichever came first', async () => {
    const one = new MemoryFolder();
    await prepareFolder(one, run('b32'));
    await prepareFolder(one, run('a16'));
    const two = new MemoryFolder();
    await prepareFolder(two, run('a16', 'b32'));
    expect(one.text('run.json')).toBe(two.text('run.json'));
  });

  it('refuses a model or rows made otherwise, and says what differs', async () => {
    const folder = new MemoryFolder('out');
    await prepareFolder(folder, run('b32'));
    await commitShard(folder, '0', makeOutput(2, ['b32']));
    const other = run('b32');
    other.models['b32'] = { fingerprint: 'new', precision: 'fp16' };
    await expect(prepareFolder(folder, other)).rejects.toThrow(
      /out already holds model b32 .*fingerprint fp-b32, now new; precision: fp32 there, fp16 now.*--slug/,
    );
    await expect(
      prepareFolder(folder, { ...run('b32'), rows: { fingerprint: 'q', caption: 'json:c' } }),
    ).rejects.toThrow(/already holds rows .*caption: txt there, json:c now/);
  });

  it('lets go of what no shard was made with', async () => {
    const folder = new MemoryFolder('out');
    await prepareFolder(folder, { ...run('b32'), rows: { fingerprint: 'q' } });
    await prepareFolder(folder, run('b32'));
    await commitShard(folder, '0', makeOutput(2, ['b32']));
    const broken = run('l14');
    broken.models['l14'] = { fingerprint: 'of a checkpoint that did not load' };
    await prepareFolder(folder, broken);
    const { run: record } = await prepareFolder(folder, run('l14'));
    expect(record).toEqual(run('b32', 'l14'));
  });

  it('is foreign without run.json: read, said once, never written', async () => {
    const folder = fixtureFolder('metadata/pool');
    const there = await inspectFolder(folder);
    expect(there).toMatchObject({ kind: 'foreign', shards: ['00000000', '00000001'] });
    expect(there.notes).toHaveLength(1);
    await expect(prepareFolder(folder, run('b32'))).rejects.toThrow(/never modified/);
    expect(folder.log).toEqual(['list', 'list']);
  });

  it('is refused when it holds something else', async () => {
    await expect(prepareFolder(new MemoryFolder('m', { 'photo.jpg': 'x' }), run('b32'))).rejects.toThrow(
      /not empty/,
    );
    await expect(inspectFolder(new MemoryFolder('m', { 'run.json': '{"a":1}' }))).rejects.toThrow(
      MetadataError,
    );
  });

  it('names the damaged stats file', async () => {
    for (const text of ['', '[]', '{}', '{"input":{"name":"a"},"seen":1}']) {
      const folder = new MemoryFolder('m', { '0_stats.json': text });
      await expect(readStats(folder, '0')).rejects.toThrow(/0_stats\.json/);
    }
  });
});

describe('what there is to do for a shard', () => {
  const input = { name: 'a/0.tar', size: 10, mtimeMs: 5 };
  const stats = { input, groups: { rows: 'r', 'clip:b32': 'x' } } as unknown as ShardStats;

  it.each([
    ['absent', undefined, { rows: 'r' }, input],
    ['done', stats, { rows: 'r', 'clip:b32': 'x' }, input],
    ['done', stats, { rows: 'r', 'clip:b32': 'x' }, { ...input, name: 'moved/0.tar' }],
    ['missing_groups', stats, { rows: 'r', 'clip:l14': 'y' }, input],
    ['conflict', stats, { rows: 'r', 'clip:b32': 'z' }, input],
    ['conflict', stats, { rows: 'q', 'clip:l14': 'y' }, input],
    ['input_changed', stats, { rows: 'r' }, { ...input, size: 11 }],
    ['input_changed', stats, { rows: 'q' }, { ...input, mtimeMs: 6 }],
  ])('is %s', (state, have, groups, now) => {
    expect(shardState(have, { input: now, groups }).state).toBe(state);
  });

  it('names what is missing and what conflicts', () => {
    const wanted = { input, groups: { rows: 'r', 'clip:b32': 'z', 'clip:l14': 'y' } };
    expect(shardState(stats, wanted)).toMatchObject({
      missing: ['clip:l14'],
      conflicts: [{ group: 'clip:b32', have: 'x', want: 'z' }],
    });
  });

  it.each([
    [true, { sha256: 'a', mtimeMs: 1 }, { sha256: 'a', mtimeMs: 2 }],
    [false, { sha256: 'a', size: 1, mtimeMs: 1 }, { sha256: 'b', size: 1, mtimeMs: 1 }],
    [true, { size: 1, etag: 'e' }, { size: 1, etag: 'e', mtimeMs: 3 }],
    [false, { size: 1, etag: 'e' }, { size: 1, etag: 'f' }],
    [false, { size: 1 }, { size: 1 }],
    [false, {}, {}],
  ])('takes inputs for the same: %s', (same, a, b) => {
    expect(sameInput({ name: 'x', ...a }, { name: 'x', ...b })).toBe(same);
  });
});
