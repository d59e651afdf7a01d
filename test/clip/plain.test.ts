import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { modelFile } from '../../cli/onnx/files.ts';
import { nodeSessions } from '../../cli/onnx/session.ts';
import { parseClipConfig } from '../../src/clip/config.ts';
import { type ClipModel, firstMaximum, loadClip } from '../../src/clip/model.ts';
import { imageTower } from '../../src/clip/towers/image.ts';
import { fp32Linear, type Linear } from '../../src/clip/towers/linear.ts';
import { textTower } from '../../src/clip/towers/text.ts';
import { Weights } from '../../src/clip/towers/weights.ts';
import type { Graph, Value } from '../../src/onnx/graph.ts';
import { readSafetensors } from '../../src/onnx/safetensors.ts';
import type { SessionFactory, Tensor } from '../../src/onnx/session.ts';
import { type Golden, goldenPixels, largestDifference, readGolden } from './golden.ts';

/** The graphs that GPUs are given, on the CPU: the numbers are those of the graph, not of a GPU's kernels. */

const at = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const TINY = ['gelu-f32', 'quickgelu-f16', 'patch14-bf16-custom-text', 'head10-f32'];

interface Files {
  config: string;
  weights: string;
  golden: string;
}

const tiny = (name: string): Files => ({
  config: at(`test/fixtures/clip/${name}/open_clip_config.json`),
  weights: at(`test/fixtures/clip/${name}/open_clip_model.safetensors`),
  golden: at(`test/fixtures/clip/${name}/golden.json`),
});
const DEMO: Files = {
  config: at('demo/model/open_clip_config.json'),
  weights: at('demo/model/open_clip_model.safetensors'),
  golden: at('test/fixtures/clip/demo-golden.json'),
};

async function load(files: Files, half: boolean): Promise<ClipModel> {
  const config = parseClipConfig(await readFile(files.config, 'utf8'));
  const weights = await modelFile(files.weights);
  const cpu = nodeSessions(weights, { threads: 1, worker: false });
  const { location, provider } = cpu;
  const sessions: SessionFactory = {
    location,
    provider,
    attention: 'plain',
    create: (graph) => cpu.create(graph),
  };
  return loadClip({ config, weights, sessions, half });
}

async function embed(
  model: ClipModel,
  golden: Golden,
): Promise<{ images: Float32Array; texts: Float32Array }> {
  const images = await model.embedImages(goldenPixels(golden.pictures, model.imageSize), golden.pictures);
  const texts = await model.embedTexts(golden.ids.map((row) => Int32Array.from(row)));
  await model.release();
  return { images, texts };
}

describe.each([...TINY.map((name) => [name, tiny(name)] as const), ['demo', DEMO] as const])(
  '%s',
  (_, files) => {
    it.each([
      ['fp32', false],
      // The CPU computes these products in float32, and drops the rounding between.
      ['fp16', true],
    ])('gives open_clip’s embeddings with attention written out, %s', async (precision, half) => {
      const golden = await readGolden(files.golden);
      const model = await load(files, half);
      expect(model.precision).toBe(precision);
      const { images, texts } = await embed(model, golden);
      // Weights that are not stored as halves are rounded to them; these models are small and wild.
      const tolerance = half ? 4e-3 : 5e-6;
      expect(largestDifference(images, golden.image_unit)).toBeLessThan(tolerance);
      expect(largestDifference(texts, golden.text_unit)).toBeLessThan(tolerance);
    });
  },
);

/** To the 11 bits of a half float, in float32 (Veltkamp's splitting): what a GPU's fp16 loses, less its range. */
function rounded(graph: Graph, value: Value): Value {
  const scaled = graph.node('Mul', [value, graph.float(8193)]);
  return graph.node('Sub', [scaled, graph.node('Sub', [scaled, value])]);
}

const roundedLinear: Linear = (graph, x, layer) => {
  if (/^visual\.proj$|text_projection$/.test(layer.name)) return fp32Linear(graph, x, layer);
  const inputs = [rounded(graph, x), rounded(graph, graph.weight(layer.weight))];
  if (layer.bias !== undefined) inputs.push(rounded(graph, graph.weight(layer.bias)));
  return rounded(graph, graph.node('Gemm', inputs, { transB: layer.transposed ? 1 : 0 }));
};

it('moves the demo model’s embeddings by little where products are rounded to half floats', async () => {
  const golden = await readGolden(DEMO.golden);
  const config = parseClipConfig(await readFile(DEMO.config, 'utf8'));
  const file = await modelFile(DEMO.weights);
  const weights = new Weights(await readSafetensors(file));
  const sessions = nodeSessions(file, { threads: 1, worker: false });
  const side = config.vision.imageSize;
  const run = async (tower: typeof imageTower, feeds: Record<string, Tensor>) => {
    const session = await sessions.create(tower(config, weights, roundedLinear, sessions.location, 'plain'));
    const { embedding } = await session.run(feeds);
    await session.release();
    return embedding.data;
  };
  const images = await run(imageTower, {
    pixels: {
      type: 'float32',
      dims: [golden.pictures, 3, side, side],
      data: goldenPixels(golden.pictures, side),
    },
  });
  const length = Math.max(...golden.ids.map((row) => row.length));
  const ids = Int32Array.from(
    golden.ids.flatMap((row) => [...row, ...new Array<number>(length - row.length).fill(0)]),
  );
  const texts = await run(textTower, {
    ids: { type: 'int32', dims: [golden.ids.length, length], data: ids },
    end: {
      type: 'int32',
      dims: [golden.ids.length],
      data: Int32Array.from(golden.ids, (row) => firstMaximum(Int32Array.from(row))),
    },
  });
  const least = (rows: typeof images, exact: number[][]) =>
    Math.min(
      ...exact.map((row, i) => {
        const own = Array.from(rows.slice(i * row.length, (i + 1) * row.length), Number);
        const dot = own.reduce((sum, value, k) => sum + value * row[k], 0);
        return dot / Math.hypot(...own) / Math.hypot(...row);
      }),
    );
  expect(least(images, golden.image_unit)).toBeGreaterThan(0.99999);
  expect(least(texts, golden.text_unit)).toBeGreaterThan(0.99999);
  // Otherwise nothing was rounded.
  expect(least(texts, golden.text_unit)).toBeLessThan(1 - 1e-9);
});
