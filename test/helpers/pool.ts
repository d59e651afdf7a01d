import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { memorySink } from '../../src/io/memory.ts';
import { TarWriter } from '../../src/tar/writer.ts';

/** A member by extension; text is written as UTF-8, an object as JSON. */
export type Members = { [ext: string]: Uint8Array | string | object };

export interface PoolSample {
  key: string;
  members: Members;
}

/** A tar of samples, as img2dataset would have written it. */
export async function tarOf(samples: readonly PoolSample[]): Promise<Uint8Array> {
  let out = new Uint8Array(0);
  const sink = memorySink('pool', (bytes) => {
    out = new Uint8Array(bytes);
  });
  const tar = new TarWriter(sink);
  for (const { key, members } of samples) {
    for (const [ext, content] of Object.entries(members)) await tar.add(`${key}.${ext}`, bytesOf(content));
  }
  await tar.finish();
  await sink.commit();
  return out;
}

/** A flat picture of one colour with a gradient, so that no two are alike. */
export async function picture(index: number, format: 'jpeg' | 'png' | 'webp' = 'jpeg'): Promise<Uint8Array> {
  const width = 40 + (index % 7);
  const height = 30 + (index % 5);
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = (index * 37 + i * (1 + (index % 3))) & 255;
  return new Uint8Array(
    await sharp(data, { raw: { width, height, channels: 3 } })
      .toFormat(format)
      .toBuffer(),
  );
}

/** `count` good samples from number `first` on, with captions that differ. */
export async function goodSamples(first: number, count: number): Promise<PoolSample[]> {
  const samples: PoolSample[] = [];
  for (let i = first; i < first + count; i++) {
    const format = (['jpeg', 'png', 'webp'] as const)[i % 3];
    samples.push({
      key: String(i).padStart(9, '0'),
      members: {
        [format === 'jpeg' ? 'jpg' : format]: await picture(i, format),
        txt: `picture number ${i} of ${i % 4 === 0 ? 'a red fox' : 'the sea'}`,
        json: {
          uid: i.toString(16).padStart(32, '0'),
          url: `https://example.org/${i}.jpg`,
          width: 40,
          height: 30,
        },
      },
    });
  }
  return samples;
}

/** Writes shards `00000.tar`, … of good samples and returns their paths. */
export async function writePool(folder: string, shards: number, perShard: number): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const paths: string[] = [];
  for (let s = 0; s < shards; s++) {
    const path = join(folder, `${String(s).padStart(5, '0')}.tar`);
    await writeFile(path, await tarOf(await goodSamples(s * perShard, perShard)));
    paths.push(path);
  }
  return paths;
}

function bytesOf(content: Members[string]): Uint8Array {
  if (content instanceof Uint8Array) return content;
  return new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content));
}
