import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestHarness } from 'wrangler';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { exportModel } from '../../cli/jobs/export-model.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { type RemoteEmbedder, remoteEmbedder } from '../../functions/towers/client.ts';
import { ORT_VERSION } from '../../functions/workers/runtime.ts';
import { cosine } from '../../src/clip/model.ts';
import { preprocessBytes } from '../../src/image/preprocess.ts';
import { sniff } from '../../src/image/sniff.ts';
import { memorySource } from '../../src/io/memory.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { scratch } from '../helpers/tmp.ts';
import { startEdge, uploadTowers } from './edge.ts';

const PAIRS = 48;
const folder = await scratch();
const env = { ...process.env, SHARDSIEVE_QUANTISED: join(folder, 'quantised') };

let server: TestHarness;
let url: string;
let native: ScoreModel;
let edge: RemoteEmbedder;
let pictures: Uint8Array[];
let ids: Int32Array[];

beforeAll(async () => {
  const exported = await exportModel({ model: 'demo', out: join(folder, 'towers') }, { env });
  expect(exported.reused).toBe(false);
  ({ url, server } = await startEdge([
    { configPath: 'test/workerd/towers.toml' },
    { configPath: 'wrangler.image.toml' },
    { configPath: 'wrangler.text.toml' },
  ]));
  await uploadTowers(server, 'shardsieve-image', join(folder, 'towers'));
  const [wanted] = await wantModels({ models: ['demo'], precision: 'int8-accurate', threads: 1 }, { env });
  native = await wanted.load();
  edge = await remoteEmbedder({ image: { url: `${url}/image` }, text: { url: `${url}/text` } });
  const tar = new Uint8Array(await readFile('demo/shards/demo-00001.tar'));
  const decoder = createDecoder();
  pictures = [];
  ids = [];
  for await (const sample of readSamples(memorySource('pool', tar).stream(), { shard: 'pool' })) {
    const pair = toPair(sample, { shardBase: 'pool' });
    const pixels = await decoder.decode(pair.image, sniff(pair.image));
    pictures.push(preprocessBytes(pixels, native.preprocess));
    ids.push(native.tokenizer.encode(pair.caption).ids);
    if (ids.length === PAIRS) break;
  }
});
afterAll(async () => {
  await native?.clip.release();
  await server?.close();
});

describe('the demo model’s towers in Workers, behind service bindings', () => {
  it('give what the CLI gives in the same precision', async () => {
    const { clip } = native;
    expect(edge).toMatchObject({
      dim: clip.dim,
      logitScale: clip.logitScale,
      precision: 'int8-accurate',
      provider: 'wasm',
    });
    const [images, texts] = [await edge.embedPictures(pictures), await edge.embedTexts(ids)];
    const [nativeImages, nativeTexts] = [await clip.embedPictures(pictures), await clip.embedTexts(ids)];
    const worst = { image: 1, text: 1, score: 0 };
    for (let i = 0; i < PAIRS; i++) {
      worst.image = Math.min(worst.image, cosine(images, i, nativeImages, i, clip.dim));
      worst.text = Math.min(worst.text, cosine(texts, i, nativeTexts, i, clip.dim));
      const scores = [
        cosine(images, i, texts, i, clip.dim),
        cosine(nativeImages, i, nativeTexts, i, clip.dim),
      ];
      worst.score = Math.max(worst.score, Math.abs(scores[0] - scores[1]));
    }
    console.log(`edge beside CLI, int8-accurate, ${PAIRS} pairs: ${JSON.stringify(worst)}`);
    expect(worst.image).toBeGreaterThan(0.999);
    expect(worst.text).toBeGreaterThan(0.999);
    expect(worst.score).toBeLessThanOrEqual(1e-3);
    // Two runtimes: were the bits the same, one of them would not have been asked.
    expect(images).not.toEqual(nativeImages);
  });

  it('give it whatever else was asked for in the same request', async () => {
    const together = await edge.embedPictures(pictures.slice(0, 7));
    const backwards = await edge.embedTexts(ids.slice(0, 7).reverse());
    for (let i = 0; i < 7; i++) {
      const row = (rows: Float32Array, at: number) => rows.slice(at * edge.dim, (at + 1) * edge.dim);
      expect(await edge.embedPictures([pictures[i]])).toEqual(row(together, i));
      expect(await edge.embedTexts([ids[i]])).toEqual(row(backwards, 6 - i));
    }
  });

  it('keep to their memory', async () => {
    const memory = async (tower: string) =>
      (await (await fetch(`${url}/${tower}/memory`)).json()) as Record<string, number>;
    const [image, text] = [await memory('image'), await memory('text')];
    expect([image['wasm'], image['table']]).toEqual([104 * 2 ** 20, 0]);
    expect([text['wasm'], text['table']]).toEqual([56 * 2 ** 20, 2 * 49_408 * 128]);
    for (const { wasm, touched } of [image, text]) {
      expect(touched).toBeGreaterThan(2 ** 20);
      expect(touched).toBeLessThan(wasm / 2);
    }
  });

  it('run on the one version of the runtime whose inner names they know', async () => {
    const json = async (path: string) =>
      JSON.parse(await readFile(path, 'utf8')) as {
        version: string;
        devDependencies: Record<string, string>;
      };
    expect((await json('package.json')).devDependencies['onnxruntime-web']).toBe(ORT_VERSION);
    expect((await json('node_modules/onnxruntime-web/package.json')).version).toBe(ORT_VERSION);
  });
});
