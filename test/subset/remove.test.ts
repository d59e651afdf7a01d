import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { CancelledError, MetadataError, UsageError } from '../../src/errors.ts';
import { memorySource } from '../../src/io/memory.ts';
import { type RemoveOptions, removeSamples } from '../../src/subset/remove.ts';
import { reshard } from '../../src/subset/reshard.ts';
import { parseUidList } from '../../src/subset/uid-list.ts';
import { readTar } from '../../src/tar/reader.ts';
import { memberHeader } from '../../src/tar/writer.ts';
import { parseSubset } from '../../src/uids/npy.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { formatUid, parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { fixture } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeSample, makeTar } from '../helpers/shards.ts';
import { makeUid } from '../helpers/tables.ts';

const setOf = (texts: string[]): UidSet => {
  const uids: Uids = new BigUint64Array(2 * texts.length);
  for (const [i, text] of texts.entries()) parseUidText(text, wordsOf(uids), i);
  return new UidSet(uids);
};
const uids = Array.from({ length: 9 }, (_, i) => makeUid(i));

/** Three shards of three samples, written by resharding. */
async function resharded(): Promise<MemoryFolder> {
  const folder = new MemoryFolder('shards');
  const tar = await makeTar(uids.flatMap((uid, i) => makeSample(`k${i}`, uid)));
  await reshard([{ shard: '0', source: memorySource('pool/0.tar', tar) }], setOf(uids), folder, {
    shardSize: 3,
  });
  folder.log.length = 0;
  return folder;
}

const run = async (folder: MemoryFolder, ids: string[], options: RemoveOptions = {}) => {
  const names = (await folder.list()).filter((name) => name.endsWith('.tar'));
  folder.log.length = 0;
  const shards = names.map((name) => ({
    ...{ name, shard: name.slice(0, -4) },
    source: memorySource(`shards/${name}`, folder.files.get(name)!, 700),
  }));
  return removeSamples(folder, shards, setOf(ids), options);
};
const json = (folder: MemoryFolder, name: string): unknown => JSON.parse(folder.text(name));
const namesIn = async (bytes: Uint8Array) => {
  const names: string[] = [];
  for await (const { name } of readTar(memorySource('t', bytes).stream(), { shard: 't' })) names.push(name);
  return names;
};

describe('removing samples', () => {
  it('writes only the shards anew that hold one, and the counts beside them', async () => {
    const folder = await resharded();
    const before = new Map(folder.files);
    const report = await run(folder, [uids[1], uids[6], uids[8], makeUid(77)]);
    expect(report).toMatchObject({
      ...{ seen: 9, removed: 3, noUid: 0 },
      notFound: { count: 1, first: [makeUid(77)] },
    });
    expect(report.shards.map(({ removed }) => removed)).toEqual([1, 0, 2]);
    expect(folder.log.filter((entry) => entry.startsWith('commit'))).toEqual([
      'commit 00000000.tar',
      'commit 00000002.tar',
      'commit 00000000_stats.json',
      'commit 00000002_stats.json',
      'commit sizes.json',
      'commit meta.json',
      'commit sample_ids.npy',
    ]);
    expect(folder.files.get('00000001.tar')).toBe(before.get('00000001.tar'));
    expect(await namesIn(folder.files.get('00000000.tar')!)).toEqual(
      ['k0', 'k2'].flatMap((key) => makeSample(key, '').map(([name]) => name)),
    );
    expect(json(folder, 'sizes.json')).toEqual({ '00000000.tar': 2, '00000001.tar': 3, '00000002.tar': 1 });
    expect(json(folder, '00000002_stats.json')).toEqual({ successes: 1 });
    expect(json(folder, 'meta.json')).toMatchObject({
      output_count: 6,
      output_shard_count: 3,
      complete: true,
    });
    const ids = parseSubset(folder.files.get('sample_ids.npy')!, 's');
    const left = [0, 2, 3, 4, 5, 7].map((i) => uids[i]).sort();
    expect(Array.from({ length: ids.length / 2 }, (_, i) => formatUid(ids, i))).toEqual(left);
  });

  it('is what resharding without them would have written', async () => {
    const folder = await resharded();
    await run(folder, [uids[0], uids[4], uids[5]]);
    const tar = folder.files.get('00000001.tar')!;
    expect(tar).toEqual(await makeTar(makeSample('k3', uids[3])));
  });

  it('leaves every other byte of a shard: headers, foreign members, ranges between', async () => {
    const tail = new Uint8Array(1024);
    const join = (...parts: Uint8Array[]) => {
      const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
      return whole;
    };
    const raw = (name: string, text: string) =>
      join(
        memberHeader(name, text.length, { mtime: 5 }),
        new TextEncoder().encode(text),
        new Uint8Array(512 - text.length),
      );
    const removed = [raw('gone.jpg', 'x'), raw('gone.json', JSON.stringify({ uid: uids[0] }))];
    const foreign = raw('a'.repeat(150), 'no sample');
    const meta = raw('__about__/it', 'meta');
    const other = [raw('stay.jpg', 'y'), raw('stay.json', JSON.stringify({ uid: uids[1] }))];
    const folder = new MemoryFolder('shards', {
      '0.tar': join(foreign, removed[0], meta, removed[1], ...other, tail),
    });
    const report = await run(folder, [uids[0]]);
    expect(report.removed).toBe(1);
    expect(folder.files.get('0.tar')).toEqual(join(foreign, meta, ...other, tail));
    // No counts lay beside it, and none do now.
    expect(await folder.list()).toEqual(['0.tar']);
  });

  it('takes every copy of a uid, and members of it that cannot be read', async () => {
    const tar = await makeTar([
      ...makeSample('k0', uids[0]),
      ['k1.json', JSON.stringify({ uid: uids[0] })],
      ['k1.jpg', 'once'],
      ['k1.jpg', 'twice'],
      ...makeSample('k2', uids[1]),
    ]);
    const folder = new MemoryFolder('shards', { '0.tar': tar });
    expect((await run(folder, [uids[0]])).removed).toBe(2);
    expect(folder.files.get('0.tar')).toEqual(await makeTar(makeSample('k2', uids[1])));
  });

  it('leaves an empty shard where all are removed', async () => {
    const folder = await resharded();
    await run(folder, uids.slice(0, 3));
    expect(await namesIn(folder.files.get('00000000.tar')!)).toEqual([]);
    expect(json(folder, 'sizes.json')).toMatchObject({ '00000000.tar': 0 });
  });

  it('changes nothing in a dry run, nor where nothing is found', async () => {
    const folder = await resharded();
    const before = new Map(folder.files);
    const real = await run(await resharded(), [uids[1], uids[2]]);
    expect(await run(folder, [uids[1], uids[2]], { dryRun: true })).toEqual(real);
    expect((await run(folder, [makeUid(50)])).removed).toBe(0);
    expect(folder.log.filter((entry) => !entry.startsWith('list'))).toEqual([]);
    expect(folder.files).toEqual(before);
  });

  it('leaves a damaged shard as it is, says so, and goes on', async () => {
    const folder = await resharded();
    const cut = folder.files.get('00000000.tar')!.slice(0, 3000);
    folder.files.set('00000000.tar', cut);
    const report = await run(folder, [uids[0], uids[4]]);
    expect(report.shards.map(({ removed, error }) => [removed, error?.code])).toEqual([
      [0, 'shard'],
      [1, undefined],
      [0, undefined],
    ]);
    expect(folder.files.get('00000000.tar')).toBe(cut);
    expect(json(folder, 'sizes.json')).toMatchObject({ '00000000.tar': 3, '00000001.tar': 2 });
    expect(json(folder, 'meta.json')).toMatchObject({ output_count: 8 });
    // What the damaged shard may still hold is still named.
    expect(parseSubset(folder.files.get('sample_ids.npy')!, 's')).toHaveLength(16);
  });

  it('leaves a gzipped shard as it is, and says so only where it holds one', async () => {
    const packed = gzipSync(await makeTar(makeSample('a', uids[0])));
    const folder = new MemoryFolder('shards', { '0.tar': packed });
    expect((await run(folder, [uids[1]])).shards[0].error).toBeUndefined();
    const { removed, shards } = await run(folder, [uids[0]]);
    expect([removed, shards[0].error?.code, folder.files.get('0.tar')]).toEqual([0, 'output', packed]);
  });

  it('when stopped has whole shards and right counts of what was done; done again, it finishes', async () => {
    const folder = await resharded();
    const stop = new AbortController();
    const options = { signal: stop.signal, onShard: () => stop.abort() };
    await expect(run(folder, [uids[0], uids[4]], options)).rejects.toThrow(CancelledError);
    expect(json(folder, 'sizes.json')).toEqual({ '00000000.tar': 2, '00000001.tar': 3, '00000002.tar': 3 });
    const killed = await resharded();
    killed.files.set('00000000.tar', folder.files.get('00000000.tar')!);
    expect((await run(killed, [uids[0], uids[4]])).removed).toBe(1);
    const whole = await resharded();
    await run(whole, [uids[0], uids[4]]);
    expect(killed.files).toEqual(whole.files);
  });

  it('keeps what a foreign stats file says besides', async () => {
    const folder = new MemoryFolder('pool', {
      '0.tar': await makeTar([...makeSample('a', uids[0]), ...makeSample('b', uids[1])]),
      '0_stats.json': '{"count": 5, "successes": 2, "failed_to_download": 3}',
      '1.tar': await makeTar(makeSample('c', uids[2])),
      '1_stats.json': '{"count": 9, "successes": 7}',
    });
    await run(folder, [uids[0]]);
    expect(json(folder, '0_stats.json')).toEqual({ count: 5, successes: 1, failed_to_download: 3 });
    expect(json(folder, '1_stats.json')).toEqual({ count: 9, successes: 7 });
  });
});

describe('lists of uids', () => {
  it('are text, npy or records', () => {
    const npy = parseUidList(fixture('subset/unsorted.npy'), 'a.npy');
    expect(parseUidList(fixture('subset/raw.bin'), 'a.bin')).toEqual(npy);
    const text = Array.from({ length: npy.length / 2 }, (_, i) => formatUid(npy, i));
    const encode = (lines: string) => new TextEncoder().encode(lines);
    expect(parseUidList(encode(text.join('\n')), 'uids')).toEqual(npy);
    expect(
      parseUidList(
        encode(`# removed on request\r\n\r\n${text.join('  # why\r\n').toUpperCase()}\r\n`),
        'uids.txt',
      ),
    ).toEqual(npy);
  });

  it('are refused where a line is no uid', () => {
    const bytes = new TextEncoder().encode(`${uids[0]}\nabc\n`);
    expect(() => parseUidList(bytes, 'uids.txt')).toThrow(UsageError);
    expect(() => parseUidList(bytes, 'uids.txt')).toThrow(/line 2 of the list is no uid/);
    expect(() => parseUidList(new Uint8Array(17), 'uids.npy')).toThrow(MetadataError);
  });
});
