import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gunzipNode } from '../../cli/io/gunzip.ts';
import { ShardError } from '../../src/errors.ts';
import { type Gunzip, gunzipAnywhere, maybeGunzip } from '../../src/io/gunzip.ts';
import { pieces } from '../tar/support.ts';

async function unpack(
  stream: AsyncIterable<Uint8Array>,
  gunzip: Gunzip,
): Promise<{ bytes: Buffer; error: unknown; largest: number }> {
  const parts: Uint8Array[] = [];
  let error: unknown;
  try {
    for await (const part of maybeGunzip(stream, 's', gunzip)) parts.push(part.slice());
  } catch (thrown) {
    error = thrown;
  }
  return { bytes: Buffer.concat(parts), error, largest: Math.max(0, ...parts.map((part) => part.length)) };
}

const text = Buffer.from(Array.from({ length: 9000 }, (_, i) => `line ${i * i} `).join(''));
const noise = randomBytes(70_000);

describe.each([
  ['anywhere', gunzipAnywhere],
  ['Node', gunzipNode],
] as [string, Gunzip][])('gunzip, %s', (platform, gunzip) => {
  test.each([[[1]], [[2]], [[1, 0, 3, 17]], [[16_384]], [[1 << 20]]])('in pieces of %j', async (sizes) => {
    const { bytes, error } = await unpack(
      pieces(gzipSync(sizes[0] === 1 ? text.subarray(0, 3000) : text), sizes),
      gunzip,
    );
    expect(error).toBeUndefined();
    expect(bytes.equals(sizes[0] === 1 ? text.subarray(0, 3000) : text)).toBe(true);
  });

  test('several members, empty and tiny ones too, in any pieces', async () => {
    const members = [text, Buffer.alloc(0), noise, Buffer.from('x'), ...Array(500).fill(Buffer.from('yz'))];
    const packed = Buffer.concat(members.map((member) => gzipSync(member)));
    for (const sizes of [[1 << 20], [1000], [19], [5000, 1, 8]]) {
      const { bytes, error } = await unpack(pieces(packed, sizes), gunzip);
      expect(error).toBeUndefined();
      expect(bytes.equals(Buffer.concat(members))).toBe(true);
    }
  });

  test('zeros behind the last member are ignored, other bytes at most refused', async () => {
    for (const sizes of [[333], [1 << 20]]) {
      const zeros = await unpack(
        pieces(Buffer.concat([gzipSync(text), Buffer.alloc(70_000)]), sizes),
        gunzip,
      );
      expect(zeros.error).toBeUndefined();
      expect(zeros.bytes.equals(text)).toBe(true);
      const garbage = Buffer.concat([gzipSync(text), Buffer.from('garbage, and more of it')]);
      const { bytes, error } = await unpack(pieces(garbage, sizes), gunzip);
      if (error === undefined) expect(bytes.equals(text)).toBe(true);
      else expect(error).toMatchObject({ problem: 'corrupt' });
    }
  });

  test('cut anywhere: what was whole comes out, then `truncated`', async () => {
    const packed = Buffer.concat([gzipSync(text), gzipSync(noise)]);
    const whole = Buffer.concat([text, noise]);
    for (let cut = 3; cut < packed.length; cut += 1301) {
      const { bytes, error } = await unpack(pieces(packed.subarray(0, cut), [4096]), gunzip);
      expect(whole.subarray(0, bytes.length).equals(bytes)).toBe(true);
      if (cut !== gzipSync(text).length)
        expect(error, `cut at ${cut}`).toMatchObject({ problem: 'truncated', where: { shard: 's' } });
    }
    const { bytes } = await unpack(pieces(packed.subarray(0, packed.length - 9), [4096]), gunzip);
    expect(bytes.length).toBeGreaterThan(whole.length - 40_000);
  });

  test('cut exactly between members it is whole, like any gzip', async () => {
    const first = gzipSync(text);
    const { error } = await unpack(
      pieces(Buffer.concat([first, gzipSync(noise)]).subarray(0, first.length), [999]),
      gunzip,
    );
    expect(error).toBeUndefined();
  });

  test('damage is a ShardError or, without checksums, other bytes; never anything else', async () => {
    const packed = gzipSync(text);
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(packed.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.integer({ min: 1, max: 9000 }),
        async (at, mask, size) => {
          const damaged = Buffer.from(packed);
          damaged[at] ^= mask;
          const { error, bytes } = await unpack(pieces(damaged, [size]), gunzip);
          if (error !== undefined) {
            expect(error).toBeInstanceOf(ShardError);
            refused += 1;
          } else if (platform === 'Node' && at > 10) {
            // Node's zlib checks CRC and length, so only the header's idle fields may change unseen.
            expect(bytes.equals(text)).toBe(true);
          }
        },
      ),
      { numRuns: 120 },
    );
    expect(refused).toBeGreaterThan(20);
  });

  test('a bomb comes out in pieces', async () => {
    const packed = gzipSync(Buffer.alloc(50 * 2 ** 20));
    const { bytes, error, largest } = await unpack(pieces(packed, [1 << 20]), gunzip);
    expect(error).toBeUndefined();
    expect(bytes.length).toBe(50 * 2 ** 20);
    expect(largest).toBeLessThanOrEqual(17 * 2 ** 20);
  });

  test('the source is let go when nobody reads on', async () => {
    let isClosed = false;
    const source = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* pieces(gzipSync(noise), [100]);
      } finally {
        isClosed = true;
      }
    };
    for await (const _ of maybeGunzip(source(), 's', gunzip)) break;
    expect(isClosed).toBe(true);
  });
});

test('what does not begin with the magic passes through', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from([0x1f]), Buffer.from([0x1f, 0x8c, 1]), noise]) {
    const { bytes: out, error } = await unpack(pieces(bytes, [1, 5000]), gunzipAnywhere);
    expect(error).toBeUndefined();
    expect(out.equals(bytes)).toBe(true);
  }
});
