import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-web';
import { describe, expect, it } from 'vitest';
import { modelFile } from '../../cli/onnx/files.ts';
import { nodeSessions } from '../../cli/onnx/session.ts';
import { parseClipConfig } from '../../src/clip/config.ts';
import { calibrate } from '../../src/clip/int8/calibrate.ts';
import { writeQuantised } from '../../src/clip/int8/write.ts';
import { cosine, loadClip } from '../../src/clip/model.ts';
import type { SessionFactory, Tensor } from '../../src/onnx/session.ts';
import { goldenPixels, largestDifference, readGolden } from '../clip/golden.ts';
import { scratch } from '../helpers/tmp.ts';

const fixtures = new URL('../fixtures/clip/', import.meta.url);

/** onnxruntime-web with the weights handed over as bytes, as a page or a worker would. */
function webSessions(weights: Uint8Array): SessionFactory {
  ort.env.wasm.numThreads = 1;
  return {
    location: 'weights',
    provider: 'wasm',
    async create(graph) {
      const session = await ort.InferenceSession.create(graph, {
        executionProviders: ['wasm'],
        externalData: [{ path: 'weights', data: weights }],
      });
      return {
        async run(feeds) {
          const inputs = Object.entries(feeds).map(([name, t]) => [
            name,
            new ort.Tensor(t.type, t.data, t.dims),
          ]);
          const answers = await session.run(Object.fromEntries(inputs));
          const floats = Object.entries(answers).map(([name, { data, dims }]): [string, Tensor] => [
            name,
            { type: 'float32', dims, data: data as Float32Array },
          ]);
          return Object.fromEntries(floats);
        },
        release: () => session.release(),
      };
    },
  };
}

describe.each(['gelu-f32', 'quickgelu-f16', 'patch14-bf16-custom-text', 'head10-f32'])('%s', (name) => {
  it('runs in the web runtime, from the same graphs and weights', async () => {
    const folder = new URL(`${name}/`, fixtures);
    const config = parseClipConfig(await readFile(new URL('open_clip_config.json', folder), 'utf8'));
    const bytes = new Uint8Array(await readFile(new URL('open_clip_model.safetensors', folder)));
    const golden = await readGolden(new URL('golden.json', folder));
    const weights = { name, size: bytes.length, slice: async (a: number, b: number) => bytes.slice(a, b) };
    const model = await loadClip({ config, weights, sessions: webSessions(bytes) });
    const images = await model.embedImages(goldenPixels(golden.pictures, model.imageSize), golden.pictures);
    const texts = await model.embedTexts(golden.ids.map((row) => Int32Array.from(row)));
    await model.release();
    expect(largestDifference(images, golden.image_unit)).toBeLessThan(5e-6);
    expect(largestDifference(texts, golden.text_unit)).toBeLessThan(5e-6);
  });
});

describe('in 8 bits', () => {
  it('the web runtime gives what Node does, to a few roundings', async () => {
    const folder = new URL('quickgelu-f16/', fixtures);
    const golden = await readGolden(new URL('golden.json', folder));
    const at = (name: string) => fileURLToPath(new URL(name, folder));
    const config = parseClipConfig(await readFile(at('open_clip_config.json'), 'utf8'));
    const weights = await modelFile(at('open_clip_model.safetensors'));
    const pixels = goldenPixels(golden.pictures, config.vision.imageSize);
    const tokens = golden.ids.map((row) => Int32Array.from(row));
    const ranges = await calibrate(
      { config, file: weights, sessions: nodeSessions(weights, { threads: 1, worker: false }) },
      { pixels: [pixels.slice(0, pixels.length / golden.pictures)], tokens },
    );
    const path = join(await scratch(), 'int8.safetensors');
    const chunks: Uint8Array[] = [];
    await writeQuantised(
      { config, file: weights, ranges, made: {} },
      { write: async (chunk) => void chunks.push(chunk.slice()) },
    );
    await writeFile(path, Buffer.concat(chunks));
    const file = await modelFile(path);
    const bytes = new Uint8Array(await readFile(path));
    const rows: Float32Array[] = [];
    for (const sessions of [nodeSessions(file, { threads: 1, worker: false }), webSessions(bytes)]) {
      const model = await loadClip({ config, weights, sessions, quantised: { file, precision: 'int8' } });
      rows.push(await model.embedImages(pixels, golden.pictures), await model.embedTexts(tokens));
      await model.release();
    }
    const [image, text, webImage, webText] = rows;
    const { embedDim } = config;
    for (let i = 0; i < golden.pictures; i++) {
      expect(cosine(image, i, webImage, i, embedDim)).toBeGreaterThan(0.999);
    }
    for (let i = 0; i < tokens.length; i++) {
      expect(cosine(text, i, webText, i, embedDim)).toBeGreaterThan(0.999);
    }
  });
});
