import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as ort from 'onnxruntime-web';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openNsfwjs } from '../../cli/safety/nsfwjs.ts';
import { ModelError } from '../../src/errors.ts';
import type { Pixels } from '../../src/image/types.ts';
import type { SessionFactory } from '../../src/onnx/session.ts';
import { loadNsfwjs, NSFWJS_BATCH, type Nsfwjs } from '../../src/safety/nsfwjs/model.ts';
import { NSFWJS_INPUT, nsfwjsInput } from '../../src/safety/nsfwjs/preprocess.ts';
import { demoPictures, drawn } from './drawn.ts';

interface Golden {
  pictures: [name: string, probabilities: number[], input: string][];
  drawn: [kind: string, width: number, height: number, probabilities: number[], input: string][];
}
const golden = JSON.parse(
  await readFile(new URL('../fixtures/nsfwjs/golden.json', import.meta.url), 'utf8'),
) as Golden;
const weights = new Uint8Array(
  await readFile(new URL('../../assets/nsfwjs/mobilenet_v2.safetensors', import.meta.url)),
);

/** Measured: 2.4e-6 on Node, 3.4e-6 in WebAssembly; anything under 1e-3 changes no decision. */
const TOLERANCE = 1e-5;

/** Pictures of every shape with what NSFWJS on TensorFlow.js says of them. */
let cases: { name: string; pixels: Pixels; probabilities: number[]; input: string }[];
let model: Nsfwjs;

beforeAll(async () => {
  const demo = await demoPictures();
  cases = [
    ...golden.pictures.map(([name, probabilities, input]) => ({
      name,
      pixels: demo.get(name) ?? { width: 0, height: 0, data: new Uint8Array() },
      probabilities,
      input,
    })),
    ...golden.drawn.map(([kind, width, height, probabilities, input]) => ({
      name: `${kind} ${width}×${height}`,
      pixels: drawn(kind, width, height),
      probabilities,
      input,
    })),
  ];
  model = await openNsfwjs({ threads: 1 });
});
afterAll(() => model.release());

function largestDifference(found: Float32Array): number {
  const expected = cases.flatMap(({ probabilities }) => probabilities);
  expect(found.length).toBe(expected.length);
  return Math.max(...expected.map((value, i) => Math.abs(value - found[i])));
}

/** onnxruntime-web, as a page or a worker would use it. */
const webSessions: SessionFactory = {
  location: '',
  provider: 'wasm',
  async create(graph) {
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(graph, { executionProviders: ['wasm'] });
    return {
      async run(feeds) {
        const { type, data, dims } = feeds['pixels'];
        const { probabilities } = await session.run({ pixels: new ort.Tensor(type, data, dims) });
        return {
          probabilities: {
            type: 'float32',
            dims: probabilities.dims,
            data: probabilities.data as Float32Array,
          },
        };
      },
      release: () => session.release(),
    };
  },
};

describe('the input', () => {
  it('is bit-equal to NSFWJS’s own, at 224 pixels and at any other size', () => {
    const plane = NSFWJS_INPUT / 3;
    for (const { name, pixels, input } of cases) {
      const planes = new Float32Array(NSFWJS_INPUT);
      nsfwjsInput(pixels, planes);
      // TensorFlow.js keeps the channels of a pixel together.
      const together = planes.map((_, i) => planes[(i % 3) * plane + Math.floor(i / 3)]);
      expect([name, createHash('sha256').update(together).digest('hex')]).toEqual([name, input]);
    }
  });
});

describe('the probabilities', () => {
  it('are NSFWJS’s on TensorFlow.js', async () => {
    expect(largestDifference(await model.classify(cases.map(({ pixels }) => pixels)))).toBeLessThan(
      TOLERANCE,
    );
  });

  it('are the same bits alone and in any batch', async () => {
    const pictures = cases.slice(0, NSFWJS_BATCH + 1).map(({ pixels }) => pixels);
    const together = await model.classify(pictures);
    const alone = await Promise.all(pictures.map((pixels) => model.classify([pixels])));
    expect(alone.flatMap((row) => [...row])).toEqual([...together]);
    expect(await model.classify([])).toEqual(new Float32Array(0));
  });

  it('are NSFWJS’s in the web runtime too', async () => {
    const web = await loadNsfwjs(weights, webSessions);
    expect(largestDifference(await web.classify(cases.map(({ pixels }) => pixels)))).toBeLessThan(TOLERANCE);
    expect(web.sha256).toBe(model.sha256);
    expect(web.fingerprint).not.toBe(model.fingerprint);
    await web.release();
  });
});

describe('what is no classifier', () => {
  const edited = (change: (bytes: Uint8Array) => Uint8Array | undefined) => {
    const bytes = weights.slice();
    return loadNsfwjs(change(bytes) ?? bytes, webSessions, 'weights.st');
  };
  const renamed = (from: string, to: string) =>
    edited((bytes) => {
      const at = Buffer.from(bytes.buffer).indexOf(from);
      bytes.set(new TextEncoder().encode(to), at);
      return undefined;
    });

  it.each<[string, () => Promise<Nsfwjs>, RegExp]>([
    ['nothing', () => edited(() => new Uint8Array(0)), /no safetensors file.*weights\.st/],
    ['text', () => edited(() => new TextEncoder().encode('{"a": 1} and so on')), /no safetensors/],
    ['a cut file', () => edited((bytes) => bytes.subarray(0, 2_000_000)), /cut short.*weights\.st/],
    ['another tensor name', () => renamed('"dense_3/bias"', '"dense_4/bias"'), /lacks.*dense_3\/bias/],
    ['another shape', () => renamed('[1280,256]', '[256,1280]'), /U8 \[256,1280\].*dense_1\/kernel/],
    ['no quantization', () => renamed('"quantization"', '"quantizatiom"'), /no quantization.*weights\.st/],
  ])('%s is refused by name', async (_, load, message) => {
    const failed = load();
    await expect(failed).rejects.toThrow(ModelError);
    await expect(failed).rejects.toThrow(message);
  });

  it('inputs of another size are refused', async () => {
    await expect(model.classifyInputs(new Float32Array(10), 1)).rejects.toThrow(/10 values.*1 pictures/);
  });
});
