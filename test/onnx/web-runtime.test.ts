import { readFile } from 'node:fs/promises';
import * as ort from 'onnxruntime-web';
import { describe, expect, it } from 'vitest';
import { parseClipConfig } from '../../src/clip/config.ts';
import { loadClip } from '../../src/clip/model.ts';
import type { SessionFactory, Tensor } from '../../src/onnx/session.ts';
import { goldenPixels, largestDifference, readGolden } from '../clip/golden.ts';

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
          const { data, dims } = answers['embedding'];
          const embedding: Tensor = { type: 'float32', dims, data: data as Float32Array };
          return { embedding };
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
