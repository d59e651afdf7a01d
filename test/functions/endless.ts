import { memorySource } from '../../src/io/memory.ts';
import { memberHeader } from '../../src/tar/writer.ts';
import { pictureOf } from '../../src/webdataset/pair.ts';
import { type RawSample, readSamples } from '../../src/webdataset/samples.ts';

/** A tar without an end: the first picture of `tar` for ever, with captions so long that lines of them fill what lies between. */
export async function* endlessTar(tar: Uint8Array): AsyncGenerator<Uint8Array> {
  const member = (name: string, bytes: Uint8Array) =>
    Buffer.concat([
      memberHeader(name, bytes.length),
      bytes,
      new Uint8Array((512 - (bytes.length % 512)) % 512),
    ]);
  const samples = readSamples(memorySource('demo', tar).stream(), { shard: 'demo' });
  const { value } = await samples.next();
  const picture = pictureOf(value as RawSample);
  const caption = Buffer.from('long '.repeat(12_000));
  for (let i = 0; ; i++) {
    yield new Uint8Array(Buffer.concat([member(`${i}.jpg`, picture), member(`${i}.txt`, caption)]));
  }
}
