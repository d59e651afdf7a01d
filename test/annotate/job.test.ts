import { describe, expect, test } from 'vitest';
import { type AnnotateEvent, annotate } from '../../src/annotate/job.ts';
import type { Annotator } from '../../src/annotate/types.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { prepareFolder, readStats } from '../../src/metadata/folder.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { encodeParquet } from '../../src/metadata/parquet-write.ts';
import { openPool } from '../../src/select/pool.ts';
import { fixtureFolder } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeOutput, makeUid } from '../helpers/tables.ts';

/** Length of the caption; null for none. */
const lengths: Annotator = {
  group: 'test:length',
  fingerprint: 'length-1',
  needs: ['text'],
  entry: { fingerprint: 'length-1' },
  schema: [{ name: 'length', type: 'int' }],
  columns: async ({ text = [] }) => [
    { name: 'length', type: 'int', values: text.map((one) => one?.length ?? null) },
  ],
};

/** First value of the image's embedding. */
const first: Annotator = {
  group: 'test:first',
  fingerprint: 'first-1',
  needs: ['embeddings:b32'],
  entry: { fingerprint: 'first-1' },
  schema: [{ name: 'first', type: 'float' }],
  async columns({ rows, embeddings }) {
    const { dim, image } = embeddings!.get('b32')!;
    const values = Float32Array.from({ length: rows }, (_, i) => image[i * dim]);
    return [{ name: 'first', type: 'float', values }];
  },
};

const pictured: Annotator = {
  group: 'test:bytes',
  fingerprint: 'bytes-1',
  needs: [],
  entry: { fingerprint: 'bytes-1' },
  schema: [{ name: 'size', type: 'int' }],
  pictures: {
    look: ({ bytes }) => Float32Array.of(bytes.length),
    judge: async (looks) => [
      {
        name: 'size',
        type: 'int',
        values: looks.map((look) => (look instanceof Float32Array ? look[0] : null)),
      },
    ],
  },
};

/** Never asked: none of the pictures has a header. */
const reading = {
  decoder: { name: 'none', decode: () => Promise.reject(new Error('not to be asked')) },
  fit: 'open_clip',
} as const;

async function own(shards = 3, rows = 9): Promise<MemoryFolder> {
  const folder = new MemoryFolder('own');
  const models = { b32: { fingerprint: 'fp-clip:b32' } };
  await prepareFolder(folder, { shardsieve: '0.1.0', rows: { fingerprint: 'fp-rows' }, models });
  for (let i = 0; i < shards; i++) await commitShard(folder, `0000${i}`, makeOutput(rows, ['b32']));
  return folder;
}

function run(
  folder: MemoryFolder,
  annotators: Annotator[],
  more: Partial<Parameters<typeof annotate>[0]> = {},
) {
  const events: AnnotateEvent[] = [];
  const onEvent = (event: AnnotateEvent) => {
    events.push(event);
  };
  const totals = annotate({ folder, annotators, onEvent, ...more });
  return totals.then((done) => ({ ...done, events }));
}

async function column(folder: MemoryFolder, shard: string, name: string): Promise<unknown[]> {
  const found = (await readColumns(folder, `${shard}.parquet`)).find((one) => one.name === name);
  return [...(found?.values ?? [])];
}

const snapshot = (folder: MemoryFolder) => new Map(folder.files);

describe('in place', () => {
  test('columns are added, everything else is as it was, and a second run does nothing', async () => {
    const folder = await own();
    const before = snapshot(folder);
    const totals = await run(folder, [lengths, first]);
    expect(totals).toMatchObject({ rows: 27, shards: { done: ['00000', '00001', '00002'], reused: [] } });
    const text = await column(folder, '00001', 'text');
    expect(await column(folder, '00001', 'length')).toEqual(text.map((one) => String(one).length));
    expect(await column(folder, '00001', 'first')).toHaveLength(9);
    expect(folder.files.get('00001.npz')).toBe(before.get('00001.npz'));
    const old = await readColumns(new MemoryFolder('before', Object.fromEntries(before)), '00001.parquet');
    for (const { name, values } of old) expect(await column(folder, '00001', name)).toEqual([...values]);
    expect((await readStats(folder, '00001'))?.groups).toMatchObject({
      'clip:b32': 'fp-clip:b32',
      'test:first': 'first-1',
      'test:length': 'length-1',
    });
    const after = snapshot(folder);
    expect((await run(folder, [first, lengths])).shards).toEqual({
      done: [],
      reused: ['00000', '00001', '00002'],
    });
    expect(snapshot(folder)).toEqual(after);
  });

  test('the order in which groups came does not show', async () => {
    const [a, b] = [await own(1), await own(1)];
    await run(a, [lengths]);
    await run(a, [first]);
    await run(b, [first, lengths]);
    expect(a.files.get('00000.parquet')).toEqual(b.files.get('00000.parquet'));
  });

  test.each(['create 00001_stats.json', 'commit 00001.parquet', 'commit 00001_stats.json'])(
    'broken off at "%s", the next run completes, and no half of it counts',
    async (failAt) => {
      const undisturbed = await own();
      await run(undisturbed, [lengths]);
      const folder = await own();
      folder.failAt = failAt;
      await expect(run(folder, [lengths])).rejects.toThrow();
      folder.failAt = undefined;
      expect((await openPool([folder])).has('length')).toBe(false);
      expect((await run(folder, [lengths])).shards).toEqual({ done: ['00001', '00002'], reused: ['00000'] });
      expect(folder.files).toEqual(undisturbed.files);
    },
  );

  test('another fingerprint under the same name is refused with both, nothing touched', async () => {
    const folder = await own();
    await run(folder, [lengths]);
    const before = snapshot(folder);
    const other = { ...lengths, fingerprint: 'length-2', entry: { fingerprint: 'length-2' } };
    const refused = run(folder, [other]);
    await expect(refused).rejects.toThrow('fingerprint length-1, now length-2');
    expect(snapshot(folder)).toEqual(before);
  });

  test('what run.json says and no shard has is no reason to refuse', async () => {
    const folder = await own();
    folder.failAt = 'create 00000.parquet';
    await expect(run(folder, [lengths])).rejects.toThrow();
    folder.failAt = undefined;
    const other = { ...lengths, fingerprint: 'length-2', entry: { fingerprint: 'length-2' } };
    expect((await run(folder, [other])).shards.done).toHaveLength(3);
  });

  test('a column that is there already is not overwritten', async () => {
    const folder = await own();
    const clash = { ...lengths, schema: [{ name: 'url', type: 'int' as const }] };
    await expect(run(folder, [clash])).rejects.toThrow(/test:length would add url.*00000\.parquet/);
  });

  test('shards that were not fully written are left out, and it is said', async () => {
    const folder = await own();
    await folder.remove('00001_stats.json');
    const { shards, events } = await run(folder, [lengths]);
    expect(shards.done).toEqual(['00000', '00002']);
    expect(events).toContainEqual({ type: 'note', text: expect.stringContaining('00001') });
  });

  test('embeddings that are missing or of another length are errors that name the file', async () => {
    const folder = await own(2);
    const npz = folder.files.get('00000.npz')!;
    await folder.remove('00000.npz');
    await expect(run(folder, [first])).rejects.toThrow(/no embeddings beside.*00000\.npz/);
    const shorter = await own(1, 5);
    folder.files.set('00000.npz', shorter.files.get('00000.npz')!);
    await expect(run(folder, [first])).rejects.toThrow(/b32_img has 5 rows and own\/00000\.parquet 9/);
    folder.files.set('00000.npz', npz);
    await expect(run(folder, [{ ...first, needs: ['embeddings:l14'] }])).rejects.toThrow('no array l14_img');
  });

  test('pictures come by uid, in order, and a row without one has undefined', async () => {
    const folder = await own(1);
    await expect(run(folder, [pictured])).rejects.toThrow('test:bytes needs the pictures');
    const asked: string[] = [];
    let closed = 0;
    const pictures = {
      open: async () => ({
        async next(uids: readonly string[]) {
          asked.push(...uids);
          return uids.map((_, i) => (i === 4 ? undefined : new Uint8Array(i)));
        },
        async close() {
          closed++;
        },
      }),
    };
    await run(folder, [pictured], { pictures, reading });
    expect(asked).toEqual(Array.from({ length: 9 }, (_, i) => makeUid(i)));
    expect(closed).toBe(1);
    expect(await column(folder, '00000', 'size')).toEqual([0, 1, 2, 3, null, 5, 6, 7, 8]);
  });
});

describe('a copy of a foreign folder', () => {
  const carry = (from: MemoryFolder, to: MemoryFolder) => async (name: string) => {
    to.files.set(name, from.files.get(name)!);
  };
  const copy = (from: MemoryFolder, out: MemoryFolder, annotators: Annotator[]) =>
    run(from, annotators, { out, carry: carry(from, out) });

  test('broken off anywhere, no select takes it for whole, and the next run completes it', async () => {
    const from = fixtureFolder('annotate/foreign');
    const undisturbed = new MemoryFolder('out');
    await copy(from, undisturbed, [lengths]);
    expect((await openPool([undisturbed])).has('length')).toBe(true);
    for (const failAt of [
      'commit a.parquet',
      'create b.parquet',
      'commit b.parquet',
      'commit c_stats.json',
    ]) {
      const out = new MemoryFolder('out');
      out.failAt = failAt;
      await expect(copy(from, out, [lengths])).rejects.toThrow();
      out.failAt = undefined;
      if (out.files.size > 1) await expect(openPool([out])).rejects.toThrow(/not fully written|no metadata/);
      await expect(run(out, [lengths])).rejects.toThrow(/interrupted|no metadata/);
      await copy(from, out, [lengths]);
      expect(out.files).toEqual(undisturbed.files);
    }
  });

  test('is extended in place, broken off or not, with the same bytes as made at once', async () => {
    const from = fixtureFolder('annotate/foreign');
    const twice = { ...lengths, group: 'test:again', schema: [{ name: 'again', type: 'int' as const }] };
    twice.columns = async (batch) => (await lengths.columns(batch)).map((one) => ({ ...one, name: 'again' }));
    const atOnce = new MemoryFolder('out');
    await copy(from, atOnce, [lengths, twice]);
    const later = new MemoryFolder('out');
    await copy(from, later, [lengths]);
    later.failAt = 'commit b_stats.json';
    await expect(run(later, [twice])).rejects.toThrow();
    later.failAt = undefined;
    expect((await openPool([later])).has('again')).toBe(false);
    expect((await openPool([later])).has('length')).toBe(true);
    expect((await run(later, [twice])).shards).toEqual({ done: ['b', 'c', 'd'], reused: ['a'] });
    expect(later.files).toEqual(atOnce.files);
  });

  test('an original that changed is copied again, and what is lost by it is said', async () => {
    const from = fixtureFolder('annotate/foreign');
    const out = new MemoryFolder('out');
    await copy(from, out, [lengths]);
    from.files.set('b.parquet', from.files.get('a.parquet')!);
    const other = { ...lengths, group: 'test:other', schema: [{ name: 'other', type: 'int' as const }] };
    other.columns = async (batch) => (await lengths.columns(batch)).map((one) => ({ ...one, name: 'other' }));
    const { shards, events } = await copy(from, out, [other]);
    expect(shards.done).toEqual(['a', 'b', 'c', 'd']);
    expect(events).toContainEqual({ type: 'note', text: expect.stringMatching(/b changed.*test:length/) });
    await expect(openPool([out]).then((pool) => pool.require('length'))).rejects.toThrow('b.parquet');
  });

  test('an empty row group or file is no trouble; other folders and other shards are refused', async () => {
    const from = fixtureFolder('annotate/foreign');
    const out = new MemoryFolder('out');
    expect((await copy(from, out, [lengths])).groups[0].unjudged).toBeGreaterThan(0);
    const other = new MemoryFolder('other', { 'z.parquet': from.files.get('a.parquet')! });
    await expect(copy(other, out, [lengths])).rejects.toThrow('out is a copy of other metadata');
    await expect(copy(from, other, [lengths])).rejects.toThrow('other is not empty');
    await expect(copy(from, await own(1), [lengths])).rejects.toThrow('own is not empty');
    await expect(copy(await own(1), new MemoryFolder('x'), [lengths])).rejects.toThrow('in place');
    await expect(run(from, [lengths])).rejects.toThrow(/never modified.*--out/);
  });

  test('no text, or text that is none, names file and column', async () => {
    const out = new MemoryFolder('out');
    const ints = encodeParquet([{ name: 'text', type: 'int', values: [1, 2] }]);
    const none = encodeParquet([{ name: 'caption', type: 'string', values: ['x'] }]);
    const folder = (bytes: Uint8Array) => new MemoryFolder('foreign', { 'a.parquet': bytes });
    await expect(copy(folder(ints), out, [lengths])).rejects.toThrow(
      /text is INT64, not text.*foreign\/a\.parquet.*column text/,
    );
    await expect(copy(folder(none), new MemoryFolder('out'), [lengths])).rejects.toThrow(
      /no column text.*foreign\/a\.parquet.*There is caption/,
    );
  });
});
