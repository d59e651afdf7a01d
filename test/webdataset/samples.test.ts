import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { gunzipNode } from '../../cli/io/gunzip.ts';
import { ShardError } from '../../src/errors.ts';
import { encodeName } from '../../src/tar/format.ts';
import { memberHeader } from '../../src/tar/writer.ts';
import {
  MAX_MEMBERS,
  type RawSample,
  type ReadSamplesOptions,
  readSamples,
} from '../../src/webdataset/samples.ts';
import { expected, fixture, fixtureNames, pieces, sha256 } from '../tar/support.ts';

type Members = [name: string, content: string | Uint8Array][];

function tar(members: Members, end = 1024): Uint8Array {
  const parts = members.flatMap(([name, content]) => {
    const bytes = typeof content === 'string' ? encodeName(content) : content;
    return [memberHeader(name, bytes.length), bytes, new Uint8Array((512 - (bytes.length % 512)) % 512)];
  });
  return new Uint8Array(Buffer.concat([...parts, new Uint8Array(end)]));
}

async function read(
  bytes: Uint8Array,
  options: Partial<ReadSamplesOptions> = {},
): Promise<{ samples: RawSample[]; error: unknown }> {
  const samples: RawSample[] = [];
  try {
    for await (const sample of readSamples(pieces(bytes, [1000, 0, 7]), { shard: 's', ...options }))
      samples.push(sample);
    return { samples, error: undefined };
  } catch (error) {
    return { samples, error };
  }
}

const shape = (samples: RawSample[]) =>
  samples.map(({ key, members }) => ({
    key,
    members: Object.fromEntries(members.map(({ ext, bytes }) => [ext, sha256(bytes)])),
  }));

describe("groups as webdataset's group_by_keys", () => {
  const otherwise = ['lone_zero_block', 'sparse_gnu', 'sparse_pax', 'gnu_times'];
  test.each(fixtureNames().filter((name) => !otherwise.includes(name)))('%s', async (name) => {
    const golden = expected[name];
    for (const gunzip of [undefined, gunzipNode]) {
      const packed = gunzip === undefined ? fixture(name) : gzipSync(fixture(name));
      const { samples, error } = await read(packed, { gunzip });
      expect(error).toBeUndefined();
      expect(shape(samples)).toEqual(golden.samples);
      const repeats = samples.filter((sample) => sample.problem?.reason === 'repeated_member');
      expect(repeats.length).toBe(golden.errors);
    }
  });

  test('what belongs to no sample is counted', async () => {
    const tally = { notFiles: 0, metaNames: 0, noKey: 0 };
    await read(fixture('kinds'), { tally });
    expect(tally).toEqual({ notFiles: 8, metaNames: 0, noKey: 0 });
    await read(fixture('meta'), { tally });
    expect(tally).toEqual({ notFiles: 8, metaNames: 4, noKey: 0 });
    await read(
      tar([
        ['noext', 'x'],
        ['.hidden', 'y'],
      ]),
      { tally },
    );
    expect(tally.noKey).toBe(2);
  });
});

describe('what is wrong with a sample', () => {
  const problems = (samples: RawSample[]) => samples.map(({ key, problem }) => [key, problem?.reason]);

  test('an extension twice, whatever its case', async () => {
    const { samples } = await read(
      tar([
        ['a.jpg', '1'],
        ['a.JPG', '2'],
        ['b.jpg', '3'],
      ]),
    );
    expect(problems(samples)).toEqual([
      ['a', 'repeated_member'],
      ['b', undefined],
    ]);
    expect(samples[0].members.length).toBe(1);
  });

  test('a key that comes back', async () => {
    const { samples, error } = await read(
      tar([
        ['a.jpg', '1'],
        ['b.jpg', '2'],
        ['a.txt', '3'],
        ['c.jpg', '4'],
      ]),
    );
    expect(error).toBeUndefined();
    expect(problems(samples)).toEqual([
      ['a', undefined],
      ['b', undefined],
      ['a', 'repeated_key'],
      ['c', undefined],
    ]);
  });

  test('members above their caps are not read, the others are', async () => {
    const caps = { member: 1000, text: 100, sample: 1500 };
    const x = (n: number): Uint8Array => new Uint8Array(n);
    const bytes = tar([
      ['a.jpg', x(1001)],
      ['a.json', x(10)],
      ['b.txt', x(101)],
      ['b.jpg', x(1000)],
      ['c.jpg', x(1000)],
      ['c.png', x(501)],
      ['d.jpg', x(1)],
    ]);
    const { samples } = await read(bytes, { caps });
    expect(problems(samples)).toEqual([
      ['a', 'member_too_large'],
      ['b', 'member_too_large'],
      ['c', 'member_too_large'],
      ['d', undefined],
    ]);
    expect(samples.map((s) => s.members.map((m) => m.ext))).toEqual([['json'], ['jpg'], ['jpg'], ['jpg']]);
  });

  test('more members than a sample has', async () => {
    const many: Members = Array.from({ length: MAX_MEMBERS + 5 }, (_, i) => [`a.${i}`, '']);
    const { samples } = await read(tar([...many, ['b.jpg', '']]));
    expect(problems(samples)).toEqual([
      ['a', 'member_too_large'],
      ['b', undefined],
    ]);
    expect(samples[0].members.length).toBe(MAX_MEMBERS);
  });

  test.each(['sparse_gnu', 'sparse_pax'])('%s: a sparse file spoils its sample only', async (name) => {
    const { samples, error } = await read(fixture(name));
    expect(error).toBeUndefined();
    expect(samples[0]).toMatchObject({ key: '1', problem: { reason: 'bad_member' } });
    expect(samples[0].problem?.detail).toContain('1.jpg');
    expect(problems(samples.slice(1))).toEqual(name === 'sparse_gnu' ? [['2', undefined]] : []);
  });
});

describe('a shard that breaks off', () => {
  const whole = tar([
    ['a.jpg', '1'],
    ['a.txt', '2'],
    ['b.jpg', '3'],
    ['b.txt', 'four'],
  ]);

  test('gives what was whole and names what was not', async () => {
    const { samples, error } = await read(whole.slice(0, 2 * 1024 + 1024 + 514));
    expect(samples.map((sample) => sample.key)).toEqual(['a']);
    expect(error).toBeInstanceOf(ShardError);
    expect(error).toMatchObject({ problem: 'truncated', where: { shard: 's', key: 'b', offset: 3586 } });
    expect(String(error)).toContain('"b"');
  });

  test('in the padding behind a member, that sample is not whole either', async () => {
    const { samples, error } = await read(whole.slice(0, 1024 + 600));
    expect(samples).toEqual([]);
    expect(error).toMatchObject({ problem: 'truncated', where: { key: 'a' } });
  });

  test('between members without an end, as tarfile has it, it is whole', async () => {
    const { samples, error } = await read(whole.slice(0, 4096));
    expect(error).toBeUndefined();
    expect(samples.length).toBe(2);
  });

  test.each([undefined, gunzipNode])('packed: the same, wherever it is cut (%o)', async (gunzip) => {
    const members: Members = Array.from({ length: 12 }, (_, i) => [
      `${i}.jpg`,
      Buffer.from(sha256(encodeName(`${i}`)).repeat(40)),
    ]);
    const bytes = tar(members);
    const packed = new Uint8Array(gzipSync(bytes));
    let last = -1;
    for (let cut = 1; cut < packed.length; cut += 37) {
      const { samples, error } = await read(packed.slice(0, cut), { gunzip });
      // Behind the tar's end nothing is missed.
      if (error === undefined) expect(samples.length).toBe(12);
      else expect(error).toMatchObject({ problem: cut < 2 ? 'not_a_tar' : 'truncated' });
      expect(samples.length).toBeGreaterThanOrEqual(last);
      for (const [i, sample] of samples.entries())
        expect(sample.members[0].bytes).toEqual(new Uint8Array(Buffer.from(members[i][1])));
      last = samples.length;
    }
    expect(last).toBeGreaterThanOrEqual(11);
  });

  test('a damaged header fails the shard with the sample it was at', async () => {
    const bytes = whole.slice();
    bytes[3 * 1024 + 3] ^= 1;
    const { samples, error } = await read(bytes);
    expect(samples.map((sample) => sample.key)).toEqual(['a']);
    expect(error).toMatchObject({ problem: 'corrupt', where: { key: 'b', offset: 3072 } });
  });
});

test('members keep bytes, name and time for writing them again', async () => {
  const packed = gzipSync('caption');
  const { samples } = await read(
    tar([
      ['A/ü.JPG', 'x'],
      ['A/ü.txt.gz', new Uint8Array(packed)],
    ]),
  );
  expect(samples).toMatchObject([
    {
      key: 'A/ü',
      offset: 0,
      members: [
        { ext: 'jpg', name: 'A/ü.JPG', gz: false, mtime: 0 },
        { ext: 'txt.gz', name: 'A/ü.txt.gz', gz: true, bytes: new Uint8Array(packed) },
      ],
    },
  ]);
});

test('a signal stops it', async () => {
  const stop = new AbortController();
  stop.abort();
  const { samples, error } = await read(fixture('ustar'), { signal: stop.signal });
  expect(samples).toEqual([]);
  expect(error).toMatchObject({ code: 'cancelled' });
});
