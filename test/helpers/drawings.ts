import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { fileSource } from '../../cli/io/file.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { type PoolSample, tarOf } from './pool.ts';

const DEMO = join(import.meta.dirname, '../../demo/shards');

/**
 * Writes shards of so many drawings that the demo model knows something of: the demo's, each as it is, then mirrored,
 * then cropped from corner to corner, with its own caption and then with its neighbours'. Small, so that decoding takes
 * no time.
 */
export async function writeDrawings(folder: string, shards: number, perShard: number): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const drawings = await demoDrawings();
  const paths: string[] = [];
  for (let s = 0; s < shards; s++) {
    const samples: PoolSample[] = [];
    for (let i = s * perShard; i < (s + 1) * perShard; i++) {
      const round = Math.floor(i / drawings.length);
      const { picture } = drawings[i % drawings.length];
      const { caption } = drawings[(i + 7 * round) % drawings.length];
      samples.push({
        key: String(i).padStart(6, '0'),
        members: { jpg: await variant(picture, round), txt: caption },
      });
    }
    const path = join(folder, `${String(s).padStart(5, '0')}.tar`);
    await writeFile(path, await tarOf(samples));
    paths.push(path);
  }
  return paths;
}

async function demoDrawings(): Promise<{ picture: Uint8Array; caption: string }[]> {
  const drawings: { picture: Uint8Array; caption: string }[] = [];
  for (const name of (await readdir(DEMO)).sort()) {
    const source = fileSource(join(DEMO, name));
    for await (const { members } of readSamples(source.stream(), { shard: name })) {
      const picture = members.find(({ ext }) => ['jpg', 'png', 'webp'].includes(ext));
      const caption = members.find(({ ext }) => ext === 'txt');
      if (picture === undefined || caption === undefined) throw new Error(`${name} is no demo shard`);
      drawings.push({ picture: picture.bytes.slice(), caption: new TextDecoder().decode(caption.bytes) });
    }
  }
  return drawings;
}

async function variant(picture: Uint8Array, round: number): Promise<Uint8Array> {
  const small = sharp(picture).flatten({ background: 'white' }).resize(112, 112, { fit: 'fill' });
  if (round % 2 === 1) small.flop();
  const corner = Math.floor(round / 2);
  if (corner > 0) small.extract({ left: (3 * corner) % 16, top: (5 * corner) % 16, width: 96, height: 96 });
  return new Uint8Array(await small.jpeg({ quality: 90 }).toBuffer());
}
