import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openClip } from '../../cli/onnx/clip.ts';
import { sha256File } from '../../cli/onnx/files.ts';
import { cosine } from '../../src/clip/model.ts';
import { goldenPixels, largestDifference, readGolden } from './golden.ts';

const at = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const weights = at('demo/model/open_clip_model.safetensors');
const golden = await readGolden(at('test/fixtures/clip/demo-golden.json'));

describe('the demo model', () => {
  it('is the one the goldens were made from', async () => {
    // Otherwise run tools/oracle/clip_demo_goldens.py again.
    expect(await sha256File(weights)).toBe(golden.weights_sha256);
  });

  it('gives open_clip’s embeddings and cosines with its float16 weights', async () => {
    const model = await openClip({ config: at('demo/model/open_clip_config.json'), weights }, { threads: 1 });
    const images = await model.embedImages(goldenPixels(golden.pictures, model.imageSize), golden.pictures);
    const texts = await model.embedTexts(golden.ids.map((row) => Int32Array.from(row)));
    await model.release();
    const cosines = golden.cosines.flatMap((row, i) =>
      row.map((_, j) => cosine(images, i, texts, j, model.dim)),
    );
    expect(largestDifference(images, golden.image_unit)).toBeLessThan(2e-6);
    expect(largestDifference(texts, golden.text_unit)).toBeLessThan(2e-6);
    expect(largestDifference(Float32Array.from(cosines), golden.cosines)).toBeLessThan(2e-6);
  });
});
