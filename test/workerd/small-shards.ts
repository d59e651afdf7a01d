/** Shards of a few samples, from those of the demo: towers in WebAssembly take their time. */
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { memorySource } from '../../src/io/memory.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { type Members, makeTar } from '../helpers/shards.ts';

/** The first samples of a shard of the demo. */
export async function someOf(shard: string, count: number): Promise<Members> {
  const tar = new Uint8Array(await readFile(`demo/shards/${shard}.tar`));
  const members: Members = [];
  let samples = 0;
  for await (const sample of readSamples(memorySource(shard, tar).stream(), { shard })) {
    if (++samples > count) break;
    for (const { name, bytes } of sample.members) members.push([name, bytes]);
  }
  return members;
}

/**
 * - `a`: 14 whole samples
 * - `b`: 8, in gzip
 * - `c`: a CMYK JPEG, a sample without a caption, one without a picture, a repeated key, 8 whole ones, the last cut off
 */
export async function smallShards(): Promise<{ [file: string]: Uint8Array }> {
  const cmyk = new Uint8Array(await readFile('test/fixtures/image/pictures/cmyk.jpg'));
  const whole = await someOf('demo-00002', 9);
  const odd: Members = [
    ['cmyk.jpg', cmyk],
    ['cmyk.txt', 'in four colours'],
    ...whole.slice(0, 3),
    ['silent.jpg', cmyk],
    ['blind.txt', 'nothing to see'],
    ...whole.slice(3),
    ['cmyk.txt', 'again'],
    ...(await someOf('demo-00003', 1)),
  ];
  const c = await makeTar(odd);
  return {
    'a.tar': await makeTar(await someOf('demo-00000', 14)),
    'b.tar.gz': new Uint8Array(gzipSync(await makeTar(await someOf('demo-00001', 8)))),
    // Within the last member: what follows it are zeros.
    'c.tar': c.subarray(0, c.findLastIndex((byte) => byte !== 0) - 10),
  };
}
