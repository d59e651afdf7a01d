import { describe, expect, test } from 'vitest';
import { SampleError, ShardError } from '../../src/errors.ts';
import { BLOCK, encodeName, FIELD } from '../../src/tar/format.ts';
import { readTar } from '../../src/tar/reader.ts';
import { memberHeader } from '../../src/tar/writer.ts';
import { expected, fixture, fixtureNames, list, pieces } from './support.ts';

const OTHERWISE = ['lone_zero_block', 'sparse_gnu', 'sparse_pax', 'gnu_times'];
const TYPES: { [flag: string]: string } = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
  Z: 'unknown',
};

describe("reads what Python's tarfile reads", () => {
  test.each(fixtureNames().filter((name) => !OTHERWISE.includes(name)))('%s', async (name) => {
    const { members, error } = await list(pieces(fixture(name), [1 << 20]));
    expect(error).toBeUndefined();
    const golden = expected[name].members;
    expect(members.map(({ sha256: _, ...rest }) => rest)).toEqual(
      golden.map(({ sha256: _, type, size, ...rest }) => ({
        ...rest,
        type: TYPES[type],
        // Only files have data here; tarfile shows the size that a link's header claims.
        size: ['file', 'unknown'].includes(TYPES[type]) ? size : 0,
      })),
    );
    for (const [i, member] of members.entries()) {
      if (member.type === 'file') expect(member.sha256, member.name).toBe(golden[i].sha256);
    }
  });

  test('cut anywhere, it has at least the members that tarfile has, and says that it was cut', async () => {
    const whole = fixture('kinds');
    for (const [cut, count] of expected['kinds'].cuts ?? []) {
      const { members, error } = await list(pieces(whole.slice(0, cut), [1 << 20]));
      expect(error instanceof ShardError, `cut at ${cut}: ${error}`).toBe(!cutAtBoundary(whole, cut));
      // tarfile lists a member once its header is there; here its data must be too, which the next header proves.
      expect([count - 1, count], `cut at ${cut}`).toContain(members.length);
    }
  });
});

describe('reads otherwise than tarfile, on purpose', () => {
  test('a lone zero block between members is damage, not the end', async () => {
    const { members, error } = await list(pieces(fixture('lone_zero_block'), [4096]));
    expect(members.map((member) => member.name)).toEqual(['a.jpg']);
    expect(error).toMatchObject({ problem: 'corrupt', where: { offset: 1024, shard: 'test' } });
  });

  test.each(['sparse_gnu', 'sparse_pax'])('%s: named as sparse, and what follows is found', async (name) => {
    const { members, error } = await list(pieces(fixture(name), [100]));
    expect(error).toBeUndefined();
    expect(members[0]).toMatchObject({ name: '1.jpg', type: 'sparse' });
    const rest = expected[name].members.slice(1);
    expect(members.slice(1)).toMatchObject(
      rest.map((m) => ({ name: m.name, offset: m.offset, sha256: m.sha256 })),
    );
  });

  test("GNU's times are no folder name", async () => {
    expect((await list(pieces(fixture('gnu_times'), [512]))).members[0].name).toBe('1.jpg');
    expect(expected['gnu_times'].members[0].name).toBe('14371500000/1.jpg');
  });
});

describe('refuses by name', () => {
  const member = (): Uint8Array => join(memberHeader('a.jpg', 5), new Uint8Array(512).fill(65, 0, 5));
  const cases: [string, string, number, Uint8Array][] = [
    ['no bytes', 'empty', 0, new Uint8Array(0)],
    ['less than a block', 'not_a_tar', 0, new Uint8Array(511)],
    ['text', 'not_a_tar', 0, encodeName('<!DOCTYPE html>'.repeat(100))],
    ['a first header whose checksum is wrong', 'corrupt', 0, flipped(member(), 5)],
    ['a later header whose checksum is wrong', 'corrupt', 1024, join(member(), flipped(member(), 0))],
    ['text where a header should be', 'corrupt', 1024, join(member(), new Uint8Array(512).fill(65))],
    ['a header cut', 'truncated', 1500, join(member(), member().slice(0, 476))],
    ['data cut', 'truncated', 514, member().slice(0, 514)],
    ['padding cut', 'truncated', 520, member().slice(0, 520)],
    [
      'a negative size',
      'corrupt',
      0,
      summed(patched(member(), FIELD.size[0], [255, ...Array(10).fill(255), 246])),
    ],
    [
      'a size past 2^53',
      'corrupt',
      0,
      summed(patched(member(), FIELD.size[0], [128, 0, 0, 1, ...Array(8).fill(0)])),
    ],
    ['a size of letters', 'corrupt', 0, summed(patched(member(), FIELD.size[0], [...encodeName('12x')]))],
    ['pax and no member', 'corrupt', 1024, join(pax('7 a=bc\n'), new Uint8Array(1024))],
    ['pax and the end', 'truncated', 1024, pax('7 a=bc\n')],
    ['a pax length of zero', 'corrupt', 512, join(pax('0 a=b\n'), member())],
    ['a pax length past the block', 'corrupt', 512, join(pax('9999 a=b\n'), member())],
    ['a pax record without a key', 'corrupt', 512, join(pax('5 =b\n'), member())],
    ['a pax size that is no number', 'corrupt', 512, join(pax('11 size=-1\n'), member())],
    ['a size in a global header', 'corrupt', 512, join(pax('10 size=5\n', 'g'), member())],
    ['an extended header of 2 MiB', 'corrupt', 512, summed(typed(memberHeader('x', 2 << 20), 'x'))],
    ['extended headers without end', 'corrupt', 0, join(...Array(40).fill(pax('7 a=bc\n')))],
    ['a name of 100 KB', 'corrupt', 0, join(memberHeader(`${'n'.repeat(100_000)}.jpg`, 0))],
  ];
  test.each(cases)('%s: %s at %i', async (_, problem, offset, bytes) => {
    for (const size of [1 << 20, 7]) {
      const { error } = await list(pieces(bytes, [size]));
      expect(error).toBeInstanceOf(ShardError);
      expect(error).toMatchObject({ problem, where: { shard: 'test', offset } });
    }
  });

  test('what a file is instead is a hint', async () => {
    const pointer = encodeName('version https://git-lfs.github.com/spec/v1\noid sha256:00\n');
    expect(String((await list(pieces(pointer, [64]))).error)).toContain('git lfs pull');
    const zstd = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, ...Array(600).fill(7));
    expect(String((await list(pieces(zstd, [64]))).error)).toContain('zstd');
  });

  test('an error of the source keeps its type or gets one', async () => {
    const broken = async function* (error: Error): AsyncGenerator<Uint8Array> {
      yield member().slice(0, 600);
      throw error;
    };
    const typedError = new ShardError('missing', 'gone');
    expect((await list(broken(typedError))).error).toBe(typedError);
    const { error } = await list(broken(new Error('EIO')));
    expect(error).toMatchObject({ problem: 'unreadable', where: { shard: 'test', offset: 600 } });
  });

  test('a member above the cap is refused unread, and the next one is found', async () => {
    const names: string[] = [];
    const bytes = join(memberHeader('big.jpg', 2000), new Uint8Array(2048), member(), new Uint8Array(1024));
    for await (const entry of readTar(pieces(bytes, [300]), { shard: 'test' })) {
      names.push(entry.name);
      if (entry.size > 100) await expect(entry.bytes(1999)).rejects.toThrow(SampleError);
    }
    expect(names).toEqual(['big.jpg', 'a.jpg']);
  });

  test('the source is let go when the reading stops early or fails', async () => {
    for (const bytes of [fixture('ustar'), join(member(), new Uint8Array(512).fill(65))]) {
      let isClosed = false;
      const source = async function* (): AsyncGenerator<Uint8Array> {
        try {
          yield* pieces(bytes, [256]);
        } finally {
          isClosed = true;
        }
      };
      const reading = async (): Promise<void> => {
        for await (const _ of readTar(source(), { shard: 'test' })) if (bytes.length > 5000) break;
      };
      await reading().catch((error) => expect(error).toBeInstanceOf(ShardError));
      expect(isClosed).toBe(true);
    }
  });

  test('a signal stops it', async () => {
    const stop = new AbortController();
    const reading = async (): Promise<void> => {
      for await (const _ of readTar(pieces(fixture('ustar'), [512]), { shard: 'test', signal: stop.signal }))
        stop.abort();
    };
    await expect(reading()).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('sizes past 2 and 8 GiB, from a stream that repeats one chunk', () => {
  const GiB = 2 ** 30;
  const zeros = new Uint8Array(64 * 2 ** 20);
  async function* shard(header: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
    yield header;
    let left = Math.ceil(size / BLOCK) * BLOCK;
    for (; left > 0; left -= zeros.length) yield left < zeros.length ? zeros.subarray(0, left) : zeros;
    yield join(memberHeader('after.txt', 3), encodeName('end'), new Uint8Array(509), new Uint8Array(1024));
  }
  const base256 = (size: number): Uint8Array => {
    const field = Array(12).fill(0);
    for (let i = 11, left = size; i > 0; i -= 1, left = Math.floor(left / 256)) field[i] = left % 256;
    field[0] = 0x80;
    return summed(patched(memberHeader('big.jpg', 0), FIELD.size[0], field));
  };
  const sizes = [
    2 * GiB - 1,
    2 * GiB,
    3 * GiB + 17,
    4 * GiB,
    5 * GiB + 1,
    8 * GiB - 1,
    8 * GiB,
    9 * GiB + 513,
    300 * GiB,
  ];

  test.each(sizes)('%i bytes', async (size) => {
    for (const header of [memberHeader('big.jpg', size), base256(size)]) {
      const { members, error } = await list(shard(header, size), 100);
      expect(error).toBeUndefined();
      const dataOffset = header.length;
      const after = dataOffset + Math.ceil(size / BLOCK) * BLOCK;
      expect(members).toMatchObject([
        { name: 'big.jpg', size, offset: 0, dataOffset },
        { name: 'after.txt', size: 3, offset: after, dataOffset: after + BLOCK },
      ]);
    }
  });

  test('a claim of 8 GiB that the file does not keep sets nothing aside', async () => {
    const before = process.memoryUsage().arrayBuffers;
    let isRefused = false;
    for await (const entry of readTar(pieces(memberHeader('big.jpg', 8 * GiB), [512]), { shard: 'test' })) {
      await expect(entry.bytes(16 * GiB)).rejects.toMatchObject({ problem: 'truncated' });
      isRefused = true;
      break;
    }
    expect(isRefused).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  });
});

/** Whether a file cut there ends behind a whole member, or in the zeros behind the last one. */
function cutAtBoundary(whole: Uint8Array, cut: number): boolean {
  if (cut === 0) return false;
  const starts = expected['kinds'].members.map((member) => member.offset);
  const end = whole.findLastIndex((byte) => byte !== 0);
  const isInTail = cut > end && cut % BLOCK === 0;
  return starts.includes(cut) || isInTail;
}

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function patched(bytes: Uint8Array, at: number, values: readonly number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return patched(bytes, at, [bytes[at] ^ 0xff]);
}

function typed(header: Uint8Array, flag: string): Uint8Array {
  return patched(header, FIELD.type[0], [flag.charCodeAt(0)]);
}

/** The first block with its checksum made right. */
function summed(bytes: Uint8Array): Uint8Array {
  const copy = patched(bytes, FIELD.checksum[0], Array(8).fill(0x20));
  const sum = copy.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  return patched(copy, FIELD.checksum[0], [...encodeName(`${sum.toString(8).padStart(6, '0')}\0 `)]);
}

function pax(records: string, flag = 'x'): Uint8Array {
  const data = new Uint8Array(BLOCK);
  data.set(encodeName(records));
  return join(summed(typed(memberHeader('pax', encodeName(records).length), flag)), data);
}
