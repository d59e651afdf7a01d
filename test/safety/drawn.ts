import { readFile } from 'node:fs/promises';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { Pixels } from '../../src/image/types.ts';
import { memorySource } from '../../src/io/memory.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';

/**
 * The pictures of tools/oracle/pdq_goldens.py, drawn by integer arithmetic only, so that nobody keeps the pixels; and
 * `blobs:SEED`, below.
 */
export function drawn(kind: string, width: number, height: number): Pixels {
  if (kind.startsWith('blobs:')) return blobs(Number(kind.slice(6)));
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, p = 0; y < height; y++) {
    for (let column = 0; column < width; column++) {
      const x = kind === 'mirror' ? Math.min(column, width - 1 - column) : column;
      for (let c = 0; c < 3; c++) data[p++] = channelOf(kind, x, y, c);
    }
  }
  return { width, height, data };
}

function channelOf(kind: string, x: number, y: number, c: number): number {
  if (kind === 'flat') return 17 + 100 * c;
  if (kind === 'noise') return Math.imul(x * 7919 + y * 104729 + c * 1299709, 2654435761) >>> 24;
  if (kind === 'checks') return ((Math.floor(x / 32) + Math.floor(y / 32) + c) % 2) * 255;
  const fold = (value: number) => Math.abs((value % 510) - 255);
  return Math.floor((fold(x * (3 + c) + y * 2) + fold(y * (5 - c) + x)) / 2);
}

/**
 * Ellipses of seeded places and colours, 224 × 224. They show nothing, but some seeds make the classifier think of every
 * one of its classes, so that all of its outputs are compared.
 */
function blobs(seed: number): Pixels {
  const side = 224;
  let state = seed;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(((state >>> 8) * n) / 2 ** 24);
  };
  // Odd seeds have warm colours.
  const colour = () => {
    const [r, g, b] = [below(256), below(256), below(256)];
    return seed % 2 === 0
      ? [r, g, b]
      : [150 + (r >> 2) + (g >> 3), 90 + (r >> 2) + (g >> 2), 60 + (r >> 2) + (b >> 2)];
  };
  const shapes = Array.from({ length: 1 + below(12) }, () => ({
    x: below(side),
    y: below(side),
    rx: 8 + below(100),
    ry: 8 + below(100),
    colour: colour(),
    slope: below(3),
  }));
  const ground = colour();
  const data = new Uint8Array(side * side * 3);
  for (let y = 0, p = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const inside = (s: (typeof shapes)[0]) =>
        ((x - s.x) * s.ry) ** 2 + ((y - s.y) * s.rx) ** 2 < (s.rx * s.ry) ** 2;
      const top = shapes.findLast(inside);
      for (let c = 0; c < 3; c++) {
        const shade = top === undefined ? 0 : (Math.abs(x - top.x) + Math.abs(y - top.y)) * top.slope;
        data[p++] = Math.max(0, (top?.colour ?? ground)[c] - Math.floor(shade / 2));
      }
    }
  }
  return { width: side, height: side, data };
}

/** The pictures of a demo shard, decoded, by the name of their member. */
export async function demoPictures(shard = 'demo-00000.tar'): Promise<Map<string, Pixels>> {
  const decoder = createDecoder();
  const tar = new Uint8Array(await readFile(new URL(`../../demo/shards/${shard}`, import.meta.url)));
  const pictures = new Map<string, Pixels>();
  for await (const sample of readSamples(memorySource(shard, tar).stream(), { shard })) {
    const { image, key } = toPair(sample, { shardBase: shard });
    const header = sniff(image);
    const extension = header.format === 'jpeg' ? 'jpg' : header.format;
    pictures.set(`${key}.${extension}`, await decoder.decode(image, header));
  }
  return pictures;
}
