import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClip } from '../../cli/onnx/clip.ts';
import { type ClipModel, cosine, IMAGE_BATCH, TEXT_BATCH } from '../../src/clip/model.ts';
import { ModelError } from '../../src/errors.ts';
import { type Golden, goldenPixels, largestDifference, readGolden } from './golden.ts';

const fixtures = new URL('../fixtures/clip/', import.meta.url);
const path = (name: string) => fileURLToPath(new URL(name, fixtures));

/** Both sides round in float32; values are of the order of one. A forgotten bias or a wrong row moves 1e-2. */
const TOLERANCE = 5e-6;

describe.each(['gelu-f32', 'quickgelu-f16', 'patch14-bf16-custom-text', 'head10-f32'])('%s', (name) => {
  let golden: Golden;
  let model: ClipModel;
  beforeAll(async () => {
    golden = await readGolden(path(`${name}/golden.json`));
    const files = {
      config: path(`${name}/open_clip_config.json`),
      weights: path(`${name}/open_clip_model.safetensors`),
    };
    model = await openClip(files, { threads: 1, worker: false });
  });
  afterAll(() => model.release());
  const texts = () => golden.ids.map((row) => Int32Array.from(row));
  const pixels = () => goldenPixels(golden.pictures, model.imageSize);

  it('gives open_clip’s unit embeddings of pictures and captions', async () => {
    const images = await model.embedImages(pixels(), golden.pictures);
    expect(largestDifference(images, golden.image_unit)).toBeLessThan(TOLERANCE);
    expect(largestDifference(await model.embedTexts(texts()), golden.text_unit)).toBeLessThan(TOLERANCE);
  });

  it('gives open_clip’s cosines', async () => {
    const images = await model.embedImages(pixels(), golden.pictures);
    const captions = await model.embedTexts(texts());
    const cosines = golden.cosines.flatMap((row, i) =>
      row.map((_, j) => cosine(images, i, captions, j, model.dim)),
    );
    expect(largestDifference(Float32Array.from(cosines), golden.cosines)).toBeLessThan(TOLERANCE);
    expect(model.logitScale).toBeCloseTo(golden.logit_scale, 3);
  });

  it('gives the same for a caption padded with zeros, alone, or among others', async () => {
    const together = await model.embedTexts(texts());
    const padded = golden.ids.map((row) => {
      const full = new Int32Array(model.contextLength);
      full.set(row);
      return full;
    });
    expect(await model.embedTexts(padded)).toEqual(together);
    for (const [k, row] of texts().entries()) {
      const alone = await model.embedTexts([row]);
      const golden = [...together.subarray(k * model.dim, (k + 1) * model.dim)];
      expect(largestDifference(alone, [golden])).toBeLessThan(TOLERANCE);
    }
  });

  it('keeps the order over more samples than one run takes', async () => {
    const many = Array.from({ length: TEXT_BATCH + 9 }, (_, k) => texts()[k % golden.ids.length]);
    const wanted = many.map((_, k) => golden.text_unit[k % golden.ids.length]);
    expect(largestDifference(await model.embedTexts(many), wanted)).toBeLessThan(TOLERANCE);

    const count = IMAGE_BATCH + 2;
    const one = pixels();
    const stride = one.length / golden.pictures;
    const stack = new Float32Array(count * stride);
    for (let k = 0; k < count; k++) {
      const from = (k % golden.pictures) * stride;
      stack.set(one.subarray(from, from + stride), k * stride);
    }
    const rows = Array.from({ length: count }, (_, k) => golden.image_unit[k % golden.pictures]);
    expect(largestDifference(await model.embedImages(stack, count), rows)).toBeLessThan(TOLERANCE);
  });
});

describe('what a model refuses', () => {
  let model: ClipModel;
  beforeAll(async () => {
    const files = {
      config: path('gelu-f32/open_clip_config.json'),
      weights: path('gelu-f32/open_clip_model.safetensors'),
    };
    model = await openClip(files, { threads: 1 });
  });
  afterAll(() => model.release());

  it('takes nothing and gives nothing', async () => {
    expect(await model.embedImages(new Float32Array(0), 0)).toHaveLength(0);
    expect(await model.embedTexts([])).toHaveLength(0);
  });

  it('names ids outside the vocabulary, and captions that are too long or empty', async () => {
    const outside = model.embedTexts([Int32Array.of(62, 49_407, 63)]);
    await expect(outside).rejects.toThrow(/49407 .* vocabulary of 64/);
    await expect(outside).rejects.toBeInstanceOf(ModelError);
    await expect(model.embedTexts([Int32Array.of(-1)])).rejects.toThrow(ModelError);
    await expect(model.embedTexts([new Int32Array(78)])).rejects.toThrow(/78 tokens/);
    await expect(model.embedTexts([new Int32Array(0)])).rejects.toThrow(/0 tokens/);
  });

  it('checks the pixels’ number', async () => {
    await expect(model.embedImages(new Float32Array(7), 1)).rejects.toThrow(/7 pixel values/);
  });

  it('fails by type after release', async () => {
    const other = await openClip(
      {
        config: path('gelu-f32/open_clip_config.json'),
        weights: path('gelu-f32/open_clip_model.safetensors'),
      },
      { threads: 1 },
    );
    const running = other.embedTexts([Int32Array.of(62, 63)]);
    await other.release();
    await other.release();
    expect(await running).toHaveLength(other.dim);
    await expect(other.embedTexts([Int32Array.of(62, 63)])).rejects.toThrow(ModelError);
  });
});

describe('cosine', () => {
  it('is the dot product of two rows, rounded to float32', () => {
    const a = Float32Array.of(9, 9, 0.6, 0.8);
    const b = Float32Array.of(0.8, 0.6, 7, 7);
    expect(cosine(a, 1, b, 0, 2)).toBe(Math.fround(a[2] * b[0] + a[3] * b[1]));
  });
});
