import { describe, expect, it } from 'vitest';
import { AccountingError, MetadataError, UsageError } from '../../src/errors.ts';
import { addColumns, commitShard, type ShardOutput } from '../../src/metadata/commit.ts';
import { toFloat16 } from '../../src/metadata/float16.ts';
import { readStats } from '../../src/metadata/folder.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeClip, makeOutput, makeUid } from '../helpers/tables.ts';

const uids = Array.from({ length: 5 }, (_, i) => makeUid(i));
const add = (slug: string) => ({
  uids,
  clips: [makeClip(slug, 5)],
  stats: { groups: { [`clip:${slug}`]: `fp-clip:${slug}` } },
});
const names = async (folder: MemoryFolder) =>
  (await readColumns(folder, '0.parquet')).map(({ name }) => name);

describe('committing a shard', () => {
  it('renames npz, skipped and parquet when all are written, and the stats last', async () => {
    const folder = new MemoryFolder();
    await commitShard(folder, '0', makeOutput(5, ['b32']));
    const renamed = folder.log.filter((event) => event.startsWith('commit'));
    expect(renamed).toEqual([
      'commit 0.npz',
      'commit 0_skipped.jsonl',
      'commit 0.parquet',
      'commit 0_stats.json',
    ]);
    const lastWritten = folder.log.findLastIndex((event) => event.startsWith('create'));
    expect(lastWritten).toBeLessThan(folder.log.indexOf('commit 0.npz'));
    expect(folder.text('0_skipped.jsonl')).toBe('{"key":"x","reason":"no_image","detail":"none"}\n');
    expect(await readStats(folder, '0')).toMatchObject({
      seen: 6,
      scored: 5,
      successes: 5,
      skipped: { no_image: 1 },
    });
  });

  it('takes embeddings that lie elsewhere in pieces, to the same bytes', async () => {
    const output = makeOutput(5, ['b32', 'a14']);
    const whole = new MemoryFolder();
    await commitShard(whole, '0', output);
    const stored = output.table.clips.flatMap(({ slug, dim, image, text }) =>
      (
        [
          [`${slug}_txt`, text!],
          [`${slug}_img`, image!],
        ] as const
      ).map(([name, values]) => ({
        ...{ name, rows: 5, dim },
        async *pieces() {
          const bytes = new Uint8Array(toFloat16(values).buffer);
          yield bytes.subarray(0, 2 * dim);
          yield bytes.subarray(2 * dim);
        },
      })),
    );
    const lean = {
      ...output,
      table: {
        ...output.table,
        clips: output.table.clips.map(({ slug, dim, scores }) => ({ slug, dim, scores })),
      },
    };
    const folder = new MemoryFolder();
    await commitShard(folder, '0', { ...lean, stored });
    expect(folder.files).toEqual(whole.files);
    const short = stored.map((array) => ({ ...array, rows: 6 }));
    await expect(commitShard(new MemoryFolder(), '0', { ...lean, stored: short })).rejects.toThrow(
      AccountingError,
    );
  });

  it('writes no npz without embeddings, and takes an old one away', async () => {
    const folder = new MemoryFolder();
    await commitShard(folder, '0', makeOutput(5, ['b32']));
    const lean = makeOutput(5, ['b32']);
    lean.table.clips = lean.table.clips.map(({ slug, dim, scores }) => ({ slug, dim, scores }));
    await commitShard(folder, '0', lean);
    expect(await folder.list()).toEqual(['0.parquet', '0_skipped.jsonl', '0_stats.json']);
  });

  it.each(['create 0.parquet', 'write 0.parquet', 'commit 0.npz', 'commit 0.parquet', 'commit 0_stats.json'])(
    'does not count after a failure at: %s',
    async (failAt) => {
      const folder = new MemoryFolder();
      await commitShard(folder, '0', makeOutput(3, ['b32']));
      folder.failAt = failAt;
      await expect(commitShard(folder, '0', makeOutput(5, ['b32']))).rejects.toThrow('on demand');
      expect(await readStats(folder, '0')).toBeUndefined();
      const created = folder.log.filter((event) => event.startsWith('create')).length;
      const ended = folder.log.filter((event) => /^(commit|abort)/.test(event)).length;
      // Every sink was committed or aborted; the one that failed to commit was both.
      expect(ended).toBeGreaterThanOrEqual(failAt.startsWith('create') ? created - 1 : created);
      folder.failAt = undefined;
      await commitShard(folder, '0', makeOutput(5, ['b32']));
      const fresh = new MemoryFolder();
      await commitShard(fresh, '0', makeOutput(5, ['b32']));
      expect(folder.files).toEqual(fresh.files);
    },
  );

  it.each<[string, (output: ShardOutput) => unknown]>([
    ['a count is off', ({ stats }) => Object.assign(stats, { seen: 7 })],
    ['a skipped line is missing', (output) => Object.assign(output, { skipped: [] })],
    ['a row is missing', ({ table }) => table.rows.pop()],
    ['scores are missing', ({ table }) => Object.assign(table.clips[0], { scores: new Float32Array(4) })],
    ['embeddings are missing', ({ table }) => Object.assign(table.clips[0], { image: new Float32Array(4) })],
    ['a fingerprint is missing', ({ stats }) => Object.assign(stats, { groups: { rows: 'r' } })],
    ['a fingerprint stands for nothing', ({ stats }) => Object.assign(stats.groups, { 'clip:l14': 'x' })],
  ])('refuses when %s', async (_, spoil) => {
    const output = makeOutput(5, ['b32']);
    spoil(output);
    const folder = new MemoryFolder();
    await expect(commitShard(folder, '0', output)).rejects.toThrow(AccountingError);
    expect(await folder.list()).toEqual([]);
  });

  it.each(['', '.hidden', 'a/b', 'a\\b', 'x.parquet', 'x.parquet.old'])(
    'refuses the shard name %j',
    async (name) => {
      await expect(commitShard(new MemoryFolder(), name, makeOutput(1, []))).rejects.toThrow(UsageError);
    },
  );
});

describe('adding columns', () => {
  it('gives the files that one pass with both models gives, in either order', async () => {
    const both = new MemoryFolder();
    await commitShard(both, '0', makeOutput(5, ['l14', 'b32']));
    for (const [first, second] of [
      ['b32', 'l14'],
      ['l14', 'b32'],
    ]) {
      const folder = new MemoryFolder();
      await commitShard(folder, '0', makeOutput(5, [first]));
      await addColumns(folder, '0', add(second));
      expect(folder.files).toEqual(both.files);
    }
  });

  it('puts later groups behind the scores, whatever came first', async () => {
    const safety = {
      name: 'safety',
      columns: [{ name: 'punsafe', type: 'double' as const, values: Float64Array.of(1, 2, 3, 4, 5) }],
    };
    const folder = new MemoryFolder();
    await commitShard(folder, '0', makeOutput(5, ['b32']));
    await addColumns(folder, '0', { uids, clips: [], groups: [safety], stats: { groups: { safety: 's' } } });
    await addColumns(folder, '0', add('a16'));
    expect((await names(folder)).slice(-3)).toEqual([
      'clip_a16_similarity_score',
      'clip_b32_similarity_score',
      'punsafe',
    ]);
    const once = new MemoryFolder();
    const output = makeOutput(5, ['b32', 'a16']);
    output.stats.groups['safety'] = 's';
    await commitShard(once, '0', { ...output, groups: [safety] });
    expect(folder.files).toEqual(once.files);
  });

  it('keeps what was there when it is interrupted, and drops what nothing vouches for', async () => {
    const folder = new MemoryFolder();
    await commitShard(folder, '0', makeOutput(5, ['b32']));
    folder.failAt = 'commit 0_stats.json';
    await expect(addColumns(folder, '0', add('l14'))).rejects.toThrow('on demand');
    folder.failAt = undefined;
    expect(await names(folder)).toContain('clip_l14_similarity_score');
    expect((await readStats(folder, '0'))?.groups).toEqual({ rows: 'fp-rows', 'clip:b32': 'fp-clip:b32' });
    await addColumns(folder, '0', add('h14'));
    const fresh = new MemoryFolder();
    await commitShard(fresh, '0', makeOutput(5, ['b32', 'h14']));
    expect(folder.files).toEqual(fresh.files);
    expect((await openNpz(await folder.open('0.npz'), '0.npz')).names).toEqual([
      'b32_img',
      'b32_txt',
      'h14_img',
      'h14_txt',
    ]);
  });

  it('gives embeddings to a model that was scored without, and keeps no stale ones', async () => {
    const full = new MemoryFolder();
    await commitShard(full, '0', makeOutput(5, ['b32', 'l14']));
    const lean = makeOutput(5, ['b32', 'l14']);
    lean.table.clips = lean.table.clips.map(({ slug, dim, scores }) => ({ slug, dim, scores }));
    const folder = new MemoryFolder();
    await commitShard(folder, '0', lean);
    // As a run leaves it that was killed before it could take the old npz away.
    folder.files.set('0.npz', full.files.get('0.npz')!);
    await addColumns(folder, '0', add('b32'));
    expect((await openNpz(await folder.open('0.npz'), '0.npz')).names).toEqual(['b32_img', 'b32_txt']);
    await addColumns(folder, '0', add('l14'));
    expect(folder.files).toEqual(full.files);
  });

  it('refuses other rows, naming the first that differs', async () => {
    const folder = new MemoryFolder();
    await commitShard(folder, '0', makeOutput(5, ['b32']));
    const before = new Map(folder.files);
    const other = uids.with(3, makeUid(99));
    await expect(addColumns(folder, '0', { ...add('l14'), uids: other })).rejects.toThrow(
      /row 3 is .*04,.*0\.parquet/,
    );
    await expect(addColumns(folder, '0', { ...add('l14'), uids: uids.slice(1) })).rejects.toThrow(
      MetadataError,
    );
    expect(folder.files).toEqual(before);
  });

  it('refuses a group that is there with another fingerprint, naming both and the way out', async () => {
    const folder = new MemoryFolder('out/metadata');
    await commitShard(folder, '0', makeOutput(5, ['b32']));
    const other = { ...add('b32'), stats: { groups: { 'clip:b32': 'other' } } };
    await expect(addColumns(folder, '0', other)).rejects.toThrow(
      'out/metadata already holds clip:b32 made with other settings (fingerprint fp-clip:b32, now other) (shard 0). ' +
        'Give the other model its own --slug, or write to another --out',
    );
  });
});
