import { describe, expect, it } from 'vitest';
import { CancelledError, OutputError, UsageError } from '../../src/errors.ts';
import { memorySource } from '../../src/io/memory.ts';
import { type ReshardInput, type ReshardOptions, reshard } from '../../src/subset/reshard.ts';
import { parseShardFormat } from '../../src/subset/shard-names.ts';
import { readTar } from '../../src/tar/reader.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { uidFromKey } from '../../src/webdataset/pair.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { type Members, makeSample, makeTar } from '../helpers/shards.ts';
import { makeUid } from '../helpers/tables.ts';

const setOf = (texts: string[]): UidSet => {
  const uids: Uids = new BigUint64Array(2 * texts.length);
  for (const [i, text] of texts.entries()) parseUidText(text, wordsOf(uids), i);
  return new UidSet(uids);
};
const input = async (shard: string, ...samples: Members[]): Promise<ReshardInput> => ({
  shard,
  source: memorySource(`${shard}.tar`, await makeTar(samples.flat(), 7), 1000),
});
const members = async (folder: MemoryFolder, name: string) => {
  const found: { [member: string]: string } = {};
  for await (const entry of readTar(memorySource(name, folder.files.get(name)!).stream(), { shard: name })) {
    expect(entry.mtime).toBe(7);
    found[entry.name] = new TextDecoder().decode(await entry.bytes(1e6));
  }
  return found;
};
const keys = async (folder: MemoryFolder, name: string) => [
  ...new Set(Object.keys(await members(folder, name)).map((member) => member.replace(/\.[^/]*$/, ''))),
];
const run = async (
  inputs: ReshardInput[],
  uids: string[],
  options: ReshardOptions = {},
  folder = new MemoryFolder(),
) => ({
  folder,
  report: await reshard(inputs, setOf(uids), folder, options),
});
const [a, b, c, d, e] = [0, 1, 2, 3, 4].map(makeUid);
const pool = async () => [
  await input('0', makeSample('k0', a), makeSample('k1', b), makeSample('k2', c)),
  await input('1', makeSample('k0', d), makeSample('k1', e)),
];

describe('resharding', () => {
  it('copies kept samples in input order, names and bytes verbatim', async () => {
    const { folder, report } = await run(
      [await input('0', makeSample('x/k0', a), makeSample('K1', b), makeSample('k2', c))],
      [c, a],
    );
    expect(await members(folder, '00000000.tar')).toEqual(
      Object.fromEntries([...makeSample('x/k0', a), ...makeSample('k2', c)]),
    );
    expect(report).toMatchObject({
      seen: 3,
      kept: 2,
      dropped: 1,
      written: 2,
      renamed: 0,
      notFound: { count: 0, first: [] },
    });
  });

  it('gives another name to a key that is in the output shard already, and counts it', async () => {
    const { folder, report } = await run(await pool(), [a, b, d, e]);
    expect(await keys(folder, '00000000.tar')).toEqual(['k0', 'k1', 'k0-1', 'k1-1']);
    expect((await members(folder, '00000000.tar'))['k0-1.jpg']).toBe(`picture of ${d}`);
    expect(report.renamed).toBe(2);
  });

  it('keeps names where the same keys fall in different output shards', async () => {
    const { folder, report } = await run(await pool(), [a, b, d, e], { shardSize: 2 });
    expect([await keys(folder, '00000000.tar'), await keys(folder, '00000001.tar')]).toEqual([
      ['k0', 'k1'],
      ['k0', 'k1'],
    ]);
    expect(report.renamed).toBe(0);
  });

  it('makes another sample of a repeat in the subset', async () => {
    const { folder, report } = await run(await pool(), [a, a, a, c]);
    expect(await keys(folder, '00000000.tar')).toEqual(['k0', 'k0-1', 'k0-2', 'k2']);
    expect(report).toMatchObject({ kept: 2, dropped: 3, written: 4 });
  });

  it('gives DataComp’s names on request', async () => {
    const one = await input(
      '0',
      [
        ['k.JPG', 'x'],
        ['k.json', JSON.stringify({ uid: a })],
      ],
      makeSample('l', b),
    );
    const { folder, report } = await run([one], [a, a, b], { names: 'uid' });
    expect(Object.keys(await members(folder, '00000000.tar'))).toEqual([
      `${a}-0.jpg`,
      `${a}-0.json`,
      `${a}-1.jpg`,
      `${a}-1.json`,
      `${b}-0.jpg`,
      `${b}-0.json`,
      `${b}-0.txt`,
    ]);
    expect(report.renamed).toBe(0);
  });

  it('derives uids from shard and key where there is no JSON, as scoring does', async () => {
    const shard = await input('pool7', [['k.jpg', 'x']], [['l.jpg', 'y']]);
    const { report } = await run([shard], [uidFromKey('pool7', 'l')]);
    expect(report).toMatchObject({ kept: 1, dropped: 1 });
  });

  it('reports uids that no sample has, repeats once', async () => {
    const missing = Array.from({ length: 7 }, (_, i) => makeUid(100 + i));
    const { report } = await run(await pool(), [a, ...missing, missing[0]]);
    expect(report.notFound).toEqual({ count: 7, first: missing.slice(0, 5) });
  });

  it('never writes a name that is not safe to unpack', async () => {
    const tar = await makeTar(
      [['aaaaaaa.jpg', 'x'], ['aaaaaaa.json', JSON.stringify({ uid: a })], ...makeSample('k', b)],
      7,
    );
    const text = new TextDecoder('latin1').decode(tar);
    for (let at = text.indexOf('aaaaaaa.'); at >= 0; at = text.indexOf('aaaaaaa.', at + 1)) {
      // The checksum is a sum, so letters that add up to the same leave it right.
      tar.set(
        [...'../k000'].map((letter) => letter.charCodeAt(0)),
        at,
      );
      const header = tar.subarray(at, at + 512);
      header.fill(0x20, 148, 156);
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
    }
    const { folder, report } = await run([{ shard: '0', source: memorySource('0.tar', tar) }], [a, b]);
    expect(report).toMatchObject({ unsafe: 1, written: 2 });
    const written = Object.keys(await members(folder, '00000000.tar'));
    expect(written.slice(0, 2).every((name) => name.startsWith(a))).toBe(true);
    expect(written.some((name) => name.includes('../'))).toBe(false);
  });

  it('drops what is damaged or has no uid, and says how many', async () => {
    const shard = await input(
      '0',
      [
        ['k.json', '{'],
        ['k.jpg', 'x'],
      ],
      [['l.json', '{"uid":"short"}']],
      [...makeSample('m', a), ['m.txt', 'again']],
      makeSample('n', b),
      [['p.jpg', 'first']],
      makeSample('q', c),
      [['p.jpg', 'second']],
      makeSample('n', d),
    );
    const { folder, report } = await run([shard], [a, b, c, d, uidFromKey('0', 'p')]);
    expect(report).toMatchObject({
      noUid: 2,
      damaged: { repeated_member: 1, repeated_key: 1 },
      seen: 8,
      kept: 4,
    });
    expect(await keys(folder, '00000000.tar')).toEqual(['n', 'p', 'q', 'n-1']);
    expect(report.notFound).toEqual({ count: 1, first: [a] });
  });
});

describe('shuffling', () => {
  const many = async () =>
    Promise.all(
      ['0', '1', '2'].map((shard, s) =>
        input(shard, ...Array.from({ length: 10 }, (_, i) => makeSample(`s${s}k${i}`, makeUid(s * 10 + i)))),
      ),
    );
  const uids = Array.from({ length: 30 }, (_, i) => makeUid(i));

  it('gives every sample once, whole, in another order that the seed decides', async () => {
    const straight = await run(await many(), uids);
    const first = await run(await many(), uids, { shuffleBuffer: 8, seed: 1 });
    const again = await run(await many(), uids, { shuffleBuffer: 8, seed: 1 });
    const other = await run(await many(), uids, { shuffleBuffer: 8, seed: 2 });
    const names = await Promise.all(
      [straight, first, other].map(({ folder }) => keys(folder, '00000000.tar')),
    );
    expect(names[1]).not.toEqual(names[0]);
    expect(names[1]).not.toEqual(names[2]);
    expect(again.folder.files).toEqual(first.folder.files);
    expect(await members(first.folder, '00000000.tar')).toEqual(
      await members(straight.folder, '00000000.tar'),
    );
    expect(JSON.parse(first.folder.text('meta.json'))).toMatchObject({ shuffle_buffer: 8, seed: 1 });
    expect(first.report).toMatchObject({ kept: 30, written: 30 });
  });
});

describe('a dry run', () => {
  it('counts what a run does, and changes nothing', async () => {
    const real = await run(await pool(), [a, b, d, e], { shardSize: 3 });
    const folder = new MemoryFolder();
    const { report } = await run(await pool(), [a, b, d, e], { shardSize: 3, dryRun: true }, folder);
    expect(report).toEqual(real.report);
    expect(folder.log).toEqual(['list']);
    expect(folder.files.size).toBe(0);
  });

  it('refuses what a run would refuse', async () => {
    const folder = new MemoryFolder('out', { 'photo.jpg': 'x' });
    await expect(run(await pool(), [a], { dryRun: true }, folder)).rejects.toThrow(OutputError);
  });
});

describe('the number of the first output shard', () => {
  it('is where the names begin, so that parts lie side by side', async () => {
    const { folder } = await run(await pool(), [a, b, d], { shardSize: 2, outputFirstShard: 5 });
    expect(Object.keys(JSON.parse(folder.text('sizes.json')))).toEqual(['00000005.tar', '00000006.tar']);
    expect(JSON.parse(folder.text('meta.json'))).toMatchObject({
      output_first_shard: 5,
      output_shard_count: 2,
    });
  });
});

describe('the files beside the shards', () => {
  it('are what the training loaders read', async () => {
    const { folder, report } = await run(await pool(), [a, b, c, d, e], { shardSize: 2 });
    expect(await folder.list()).toEqual([
      '00000000.tar',
      '00000000_stats.json',
      '00000001.tar',
      '00000001_stats.json',
      '00000002.tar',
      '00000002_stats.json',
      'meta.json',
      'sample_ids.npy',
      'sizes.json',
    ]);
    expect(JSON.parse(folder.text('sizes.json'))).toEqual({
      '00000000.tar': 2,
      '00000001.tar': 2,
      '00000002.tar': 1,
    });
    expect(JSON.parse(folder.text('00000002_stats.json'))).toEqual({ successes: 1 });
    expect(JSON.parse(folder.text('meta.json'))).toMatchObject({
      output_shard_count: 3,
      output_shard_format: '{:08d}.tar',
      complete: true,
    });
    for (const { name, bytes } of report.shards) expect(bytes).toBe(folder.files.get(name)!.length);
  });

  it('say so when nothing is kept', async () => {
    const { folder } = await run(await pool(), [makeUid(50)]);
    expect(folder.text('sizes.json')).toBe('{}\n');
    expect(JSON.parse(folder.text('meta.json'))).toMatchObject({ output_shard_count: 0 });
  });

  it('keep to the cap on bytes, but for one sample that is larger alone', async () => {
    const big = (key: string, uid: string, size: number): Members => [
      ...makeSample(key, uid),
      [`${key}.bin`, new Uint8Array(size)],
    ];
    const shard = await input(
      '0',
      big('a', a, 10_000),
      big('b', b, 10_000),
      big('c', c, 10_000),
      big('d', d, 90_000),
      big('e', e, 10),
    );
    const { report } = await run([shard], [a, b, c, d, e], { shardBytes: 40_960 });
    expect(report.shards.map(({ samples }) => samples)).toEqual([2, 1, 1, 1]);
    expect(report.shards.filter(({ bytes }) => bytes > 40_960)).toHaveLength(1);
  });

  it('are the same bytes in a second run, and leave nothing of a larger first one', async () => {
    const small = await run(await pool(), [a, b], { shardSize: 1 });
    const { folder } = await run(await pool(), [a, b, c, d, e], {
      shardSize: 1,
      shardFormat: 'old-{:03d}.tar',
    });
    folder.files.set('notes.txt', new Uint8Array(1));
    await run(await pool(), [a, b], { shardSize: 1 }, folder);
    expect(folder.files.delete('notes.txt')).toBe(true);
    expect(folder.files).toEqual(small.folder.files);
  });

  it('mark a folder as ours before the first shard, so that an interrupted run can be done again', async () => {
    const folder = new MemoryFolder();
    folder.failAt = 'commit 00000001.tar';
    await expect(run(await pool(), [a, b, c], { shardSize: 1 }, folder)).rejects.toThrow('on demand');
    expect(folder.log).toContain('abort 00000001.tar');
    expect(await folder.list()).toEqual(['00000000.tar', '00000000_stats.json', 'meta.json']);
    expect(JSON.parse(folder.text('meta.json'))).toEqual({ created_by: 'shardsieve', complete: false });
    folder.failAt = undefined;
    await run(await pool(), [a, b, c], { shardSize: 1 }, folder);
    expect(folder.files).toEqual((await run(await pool(), [a, b, c], { shardSize: 1 })).folder.files);
  });

  it.each(['photo.jpg', '00000000.tar', 'meta.json'])(
    'refuse a folder with a foreign %s unless overwriting',
    async (name) => {
      const folder = new MemoryFolder('out', { [name]: '{"output_shard_count": 1}' });
      await expect(run(await pool(), [a], {}, folder)).rejects.toThrow(OutputError);
      expect(folder.log).toEqual(['list']);
      await run(await pool(), [a], { overwrite: true }, folder);
      expect(folder.files.has('sizes.json')).toBe(true);
    },
  );
});

describe('inputs that fail', () => {
  it('are not the output folder’s own shards, which a new run removes', async () => {
    const { folder } = await run(await pool(), [a, b], {}, new MemoryFolder('out/shards'));
    const before = new Map(folder.files);
    const own = {
      shard: '00000000',
      source: memorySource('out/shards/00000000.tar', folder.files.get('00000000.tar')!),
    };
    await expect(run([own], [a], {}, folder)).rejects.toThrow(/into its own folder/);
    expect(folder.files).toEqual(before);
  });

  it('stand in the report, and the others go on', async () => {
    const [first, second] = await pool();
    const bytes = await makeTar([...makeSample('k0', a), ...makeSample('k1', b)]);
    const cut = { shard: 'cut', source: memorySource('cut.tar', bytes.slice(0, 512 * 8 - 100)) };
    const none = { shard: 'none', source: memorySource('none.tar', new Uint8Array()) };
    const { folder, report } = await run([cut, none, second], [a, b, d]);
    expect(report.inputs.map(({ shard, written, error }) => [shard, written, error?.problem])).toEqual([
      ['cut', 1, 'truncated'],
      ['none', 0, 'empty'],
      ['1', 1, undefined],
    ]);
    expect(JSON.parse(folder.text('meta.json'))).toMatchObject({ complete: false, output_shard_count: 1 });
    expect(first.shard).toBe('0');
  });

  it('leave no half shard when stopped', async () => {
    const stop = new AbortController();
    const folder = new MemoryFolder();
    const options = { signal: stop.signal, onSample: () => stop.abort() };
    await expect(run(await pool(), [a, b], options, folder)).rejects.toThrow(CancelledError);
    expect(await folder.list()).toEqual(['meta.json']);
  });
});

describe('shard formats', () => {
  it.each([
    ['{:08d}.tar', '00000012.tar'],
    ['{}.tar', '12.tar'],
    ['{:d}.tar', '12.tar'],
    ['part-{0:05d}.x.tar', 'part-00012.x.tar'],
  ])('%s names %s', (format, name) => {
    const names = parseShardFormat(format);
    expect(names.name(12)).toBe(name);
    expect(names.matches(name)).toBe(true);
    expect(names.matches(`0${name}`)).toBe(false);
  });

  it.each([
    '',
    'x.tar',
    '{:08d}',
    '{:08d}.zip',
    '{}{}.tar',
    '../{}.tar',
    'a/{}.tar',
    '{:8d}.tar',
    '{:099d}.tar',
    '{:08x}.tar',
    '.{}.tar',
    'x.parquet{}.tar',
  ])('refuses %j', (format) => {
    expect(() => parseShardFormat(format)).toThrow(UsageError);
  });
});
