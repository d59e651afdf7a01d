import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Claim, Lease, type ShardProgress, Superseded } from '../../functions/jobs/lease.ts';
import { type Bucket, listAll } from '../../functions/workers/bucket.ts';
import { bucketFolder, bucketSource } from '../../functions/workers/storage.ts';
import { OutputError, ShardError } from '../../src/errors.ts';
import { writeFile } from '../../src/metadata/folder.ts';
import { localBucket } from '../helpers/bucket.ts';

let bucket: Bucket;
let dispose: () => Promise<void>;
beforeAll(async () => {
  ({ bucket, dispose } = await localBucket());
});
afterAll(() => dispose?.());

const text = (value: string) => new TextEncoder().encode(value);
const read = async (folder: ReturnType<typeof bucketFolder>, name: string) => {
  const bytes = await folder.read(name);
  return bytes && new TextDecoder().decode(bytes);
};

describe('R2 as a folder', () => {
  test('holds what was committed, flat', async () => {
    const folder = bucketFolder(bucket, 'flat/');
    await bucket.put('flat/below/x', text('x'));
    await bucket.put('flatter', text('x'));
    expect([await folder.list(), await folder.has('b'), await folder.read('b')]).toEqual([
      [],
      false,
      undefined,
    ]);
    await writeFile(folder, 'b', text('one'));
    const sink = await folder.create('a');
    for (const part of ['un', 'fin', 'ished']) await sink.write(text(part));
    expect(await folder.list()).toEqual(['b']);
    await sink.commit();
    expect([await folder.list(), await read(folder, 'a')]).toEqual([['a', 'b'], 'unfinished']);
    const file = await folder.open('a');
    expect([file.size, new TextDecoder().decode(await file.slice(2, 5))]).toEqual([10, 'fin']);
    expect(await file.slice(10, 10)).toEqual(new Uint8Array(0));
    const given = await folder.create('c');
    await given.write(text('given up'));
    await given.abort();
    await folder.remove('b');
    expect(await folder.list()).toEqual(['a']);
  });

  test('of two writers the slower one fails, whether the file was there or not', async () => {
    const folder = bucketFolder(bucket, 'race/');
    for (const round of ['new', 'replaced']) {
      const [slow, quick] = [await folder.create('file'), await folder.create('file')];
      await slow.write(text('slow'));
      await quick.write(text(round));
      await quick.commit();
      await expect(slow.commit()).rejects.toThrow(OutputError);
      expect(await read(folder, 'file')).toBe(round);
    }
  });

  test('whoever may not write leaves everything as it was', async () => {
    await writeFile(bucketFolder(bucket, 'guarded/'), 'file', text('there'));
    const folder = bucketFolder(bucket, 'guarded/', {
      mayWrite: async (name) => {
        throw new Superseded(name);
      },
    });
    await expect(writeFile(folder, 'file', text('mine'))).rejects.toThrow(Superseded);
    await expect(folder.remove('file')).rejects.toThrow(Superseded);
    expect(await read(folder, 'file')).toBe('there');
  });

  test('a shard that is replaced while it is read is no shard that ends early', async () => {
    await bucket.put('shard', new Uint8Array(2_000_000));
    const object = (await bucket.head('shard'))!;
    let length = 0;
    for await (const chunk of bucketSource(bucket, object, 500_000).stream()) length += chunk.length;
    expect(length).toBe(1_500_000);
    await bucket.put('shard', new Uint8Array(1_000_000));
    const error: unknown = await bucketSource(bucket, object)
      .stream()
      [Symbol.asyncIterator]()
      .next()
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ShardError);
    expect(error).toMatchObject({ problem: 'unreadable' });
  });
});

const fresh = (generation = 'g'): ShardProgress => ({
  ...{
    generation,
    input: { name: 's.tar', size: 1, etag: 'e' },
    packed: false,
    piece: 0,
    parts: 0,
    keys: '',
  },
  ...{ place: { offset: 0, globals: {} }, started: '2026-01-01T00:00:00Z' },
  counts: { seen: 0, scored: 0, skipped: {}, captionsTruncated: {} },
});
const claim = (message: string, more: Partial<Claim> = {}): Claim => ({
  ...{ message, piece: 0, now: 1000, leaseMs: 100 },
  ...more,
});

async function taken(key: string, ...args: Parameters<typeof claim>): Promise<Lease> {
  const claimed = await Lease.claim(bucket, key, fresh(), claim(...args));
  if (!('lease' in claimed)) throw new Error(claimed.state);
  return claimed.lease;
}

describe('a shard is worked on by one', () => {
  test('of many that come at once', async () => {
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, i) => Lease.claim(bucket, 'state/many', fresh(), claim(`m${i}`))),
    );
    expect(all.filter((one) => 'lease' in one).length).toBe(1);
    expect(all.filter((one) => 'state' in one && one.state === 'held').length).toBe(7);
  });

  test('a delivery of the same message takes over, and the one before can write nothing more', async () => {
    const first = await taken('state/same', 'm');
    await first.save({ parts: 1, holder: first.holder(1000, 100) });
    const second = await taken('state/same', 'm');
    expect(second.progress.parts).toBe(1);
    await expect(first.save({ parts: 2 })).rejects.toThrow(Superseded);
    await expect(first.check()).rejects.toThrow(Superseded);
    await second.check();
    await second.save({ parts: 2 });
    expect((await taken('state/same', 'm')).progress.parts).toBe(2);
  });

  test('another message waits until the lease is over', async () => {
    await taken('state/other', 'm');
    expect(await Lease.claim(bucket, 'state/other', fresh(), claim('n', { now: 1099 }))).toEqual({
      state: 'held',
    });
    await taken('state/other', 'n', { now: 1100 });
  });

  test('a finished piece is not done again, and parts of other settings are not gone on with', async () => {
    const lease = await taken('state/piece', 'm');
    await lease.save({ piece: 1, parts: 4, holder: undefined });
    const again = await Lease.claim(bucket, 'state/piece', fresh(), claim('m'));
    expect(again).toEqual({ state: 'behind', piece: 1 });
    expect((await taken('state/piece', 'm', { piece: 1 })).progress.parts).toBe(4);
    const other = await Lease.claim(bucket, 'state/piece', fresh('other'), claim('n', { now: 2000 }));
    expect('lease' in other && other.lease.progress).toMatchObject({
      generation: 'other',
      parts: 0,
      piece: 0,
    });
  });

  test('what it has come to stands beside the object', async () => {
    const lease = await taken('state/listed', 'm');
    await lease.save({
      counts: { ...lease.progress.counts, seen: 7, scored: 6 },
      place: { offset: 512, globals: {} },
    });
    for await (const { customMetadata } of listAll(bucket, {
      prefix: 'state/listed',
      include: ['customMetadata'],
    })) {
      expect(JSON.parse(customMetadata!['progress'])).toEqual({
        seen: 7,
        scored: 6,
        pieces: 0,
        size: 1,
        offset: 512,
      });
    }
  });
});
