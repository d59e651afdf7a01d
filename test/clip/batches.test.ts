import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { calibrationPairs } from '../../cli/models/calibration.ts';
import type { Embedder } from '../../src/clip/embedder.ts';
import { PRECISIONS } from '../../src/clip/precision.ts';
import { preprocessBytes } from '../../src/image/preprocess.ts';
import { sniff } from '../../src/image/sniff.ts';
import { scratch } from '../helpers/tmp.ts';

const env = { ...process.env, SHARDSIEVE_QUANTISED: await scratch() };
/** Held out: the built-in calibration reads shard 0. */
const SHARD = join(import.meta.dirname, '../../demo/shards/demo-00001.tar');

/** A fixed order that leaves nothing where it was. */
const shuffled = (n: number) =>
  Array.from({ length: n }, (_, i) => i).sort((a, b) => ((a * 29) % 67) - ((b * 29) % 67));

// Half floats are for GPUs, whose batches may change the last bits.
describe.each(PRECISIONS.filter((precision) => precision !== 'fp16'))('%s', (precision) => {
  let clip: Embedder;
  const pictures: Uint8Array[] = [];
  const tokens: Int32Array[] = [];
  beforeAll(async () => {
    const [wanted] = await wantModels({ models: ['demo'], precision }, { env });
    const model = await wanted.load();
    clip = model.clip;
    const decoder = createDecoder();
    for (const { image, caption } of (await calibrationPairs(SHARD)).pairs) {
      pictures.push(preprocessBytes(await decoder.decode(image, sniff(image)), model.preprocess));
      tokens.push(model.tokenizer.encode(caption).ids);
    }
  });
  afterAll(() => clip.release());

  async function images(order: readonly number[], batch: number): Promise<Map<number, Float32Array>> {
    const rows = new Map<number, Float32Array>();
    for (let start = 0; start < order.length; start += batch) {
      const part = order.slice(start, start + batch);
      const out = await clip.embedPictures(part.map((index) => pictures[index]));
      part.forEach((index, i) => {
        rows.set(index, out.subarray(i * clip.dim, (i + 1) * clip.dim));
      });
    }
    return rows;
  }

  async function texts(order: readonly number[], batch: number): Promise<Map<number, Float32Array>> {
    const rows = new Map<number, Float32Array>();
    for (let start = 0; start < order.length; start += batch) {
      const part = order.slice(start, start + batch);
      const out = await clip.embedTexts(part.map((index) => tokens[index]));
      part.forEach((index, i) => {
        rows.set(index, out.subarray(i * clip.dim, (i + 1) * clip.dim));
      });
    }
    return rows;
  }

  it.each([
    ['pictures', images],
    ['captions', texts],
  ])('gives %s the same bits alone, among 7, among 32, and in any order', async (_, embed) => {
    const n = 64;
    const plain = Array.from({ length: n }, (_, i) => i);
    const alone = await embed(plain, 1);
    expect(new Set(tokens.map((row) => row.length)).size).toBeGreaterThan(5);
    for (const [order, batch] of [
      [plain, 7],
      [plain, 32],
      [shuffled(n), 7],
      [shuffled(n), 32],
      [shuffled(n), n],
    ] as const) {
      const rows = await embed(order, batch);
      const moved = plain.filter((i) => !sameBits(rows.get(i)!, alone.get(i)!));
      expect(moved, `batches of ${batch}`).toEqual([]);
    }
  });
});

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, k) => Object.is(value, b[k]));
}
