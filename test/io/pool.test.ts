import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fileSource } from '../../cli/io/file.ts';
import { ChunkPool } from '../../src/io/pool.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { type Members, makeTar } from '../helpers/shards.ts';
import { scratch } from '../helpers/tmp.ts';

const noise = (seed: number, length: number) =>
  Uint8Array.from({ length }, (_, i) => (seed * 31 + i * (1 + (seed % 5)) + (i >> 8)) & 255);

/** Every chunk lies in the pool's memory, so that a chunk given back too early is overwritten by a later one. */
async function* pooled(bytes: Uint8Array, size: number, pool: ChunkPool): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = pool.take(size);
    const piece = bytes.subarray(at, at + size);
    chunk.set(piece);
    yield chunk.subarray(0, piece.length);
  }
}

function digest(bytes: Uint8Array): number {
  let sum = 7;
  for (let at = bytes.length - 1; at >= 0; at -= 61) sum = (sum * 33 + bytes[at]) % 2 ** 31;
  return sum;
}

async function read(stream: AsyncIterable<Uint8Array>, pool?: ChunkPool) {
  const samples: [string, number][] = [];
  for await (const { key, members } of readSamples(stream, { shard: 's', pool })) {
    // Looked at only when the whole sample is there, as whoever copies it does.
    for (const { ext, bytes } of members)
      samples.push([`${key}.${ext}`, Buffer.from(bytes).readUIntBE(0, 6)]);
    for (const { bytes } of members) samples.push(['sum', digest(bytes)]);
  }
  return samples;
}

describe('a stream whose chunks are lent', () => {
  it('gives the same samples in any split', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.integer({ min: 6, max: 2500 }), { minLength: 1, maxLength: 4 }), {
          maxLength: 8,
        }),
        fc.integer({ min: 1, max: 6000 }),
        async (sizes, chunk) => {
          const members: Members = sizes.flatMap((lengths, i) =>
            lengths.map((length, j): [string, Uint8Array] => [`${i}.${j}`, noise(i * 7 + j, length)]),
          );
          members.push(['__meta__/x', noise(3, 3000)], ['last.txt', noise(9, 6)]);
          const tar = await makeTar(members);
          const pool = new ChunkPool();
          expect(await read(pooled(tar, chunk, pool), pool)).toEqual(
            await read(pooled(tar, chunk, new ChunkPool())),
          );
        },
      ),
      { seed: 1, numRuns: 40 },
    );
  });

  it('reads a file of many chunks in the memory of a few', async () => {
    const members: Members = Array.from({ length: 20 }, (_, i) => [
      `${i}.bin`,
      noise(i, 200_000 + i * 17_777),
    ]);
    const path = join(await scratch(), 'many.tar');
    await writeFile(path, await makeTar(members));
    const taken = new Set<ArrayBufferLike>();
    class Counted extends ChunkPool {
      override take(size: number): Uint8Array {
        const buffer = super.take(size);
        taken.add(buffer.buffer);
        return buffer;
      }
    }
    const pool = new Counted();
    expect(await read(fileSource(path).stream({ pool }), pool)).toEqual(
      await read(fileSource(path).stream()),
    );
    expect(taken.size).toBeLessThanOrEqual(4);
  });

  it('never takes back memory that is not its own', async () => {
    const pool = new ChunkPool();
    const tar = await makeTar([['a.txt', noise(1, 3000)]]);
    const before = tar.slice();
    async function* own() {
      for (let at = 0; at < tar.length; at += 512) yield tar.subarray(at, at + 512);
    }
    await read(own(), pool);
    pool.take(512).fill(1);
    expect(tar).toEqual(before);
  });
});
