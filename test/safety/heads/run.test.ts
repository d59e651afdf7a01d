import { expect, test } from 'vitest';
import { nodeHead } from '../../../cli/heads/run.ts';
import { encodeSafetensors } from '../../../src/onnx/safetensors-write.ts';
import { checkHead } from '../../../src/safety/heads/head.ts';
import type { Layer } from '../../../src/safety/heads/layers.ts';
import { importPublished } from '../../../src/safety/heads/published.ts';
import { headRunner } from '../../../src/safety/heads/run.ts';
import { dense, infoOf, numbers, wholeHead } from './support.ts';

const readNpy = () => {
  throw new Error('no npy here');
};

test('the runtime and plain JavaScript give the same', async () => {
  const rows = 4099;
  const embeddings = numbers(rows * 8, 9);
  for (let row = 0; row < rows; row += 2) embeddings[row * 8 + 3] = row % 4 === 0 ? 0.125 : -0.25;
  const plain = await headRunner(wholeHead());
  const fast = await nodeHead(wholeHead());
  const [a, b] = [await plain.run(embeddings, rows), await fast.run(embeddings, rows)];
  await fast.release();
  expect(new Set(a).size).toBeGreaterThan(1000);
  expect(Math.max(...a.map((value, i) => Math.abs(value - b[i])))).toBeLessThan(1e-6);
});

test('a row alone and among others, at any place, gives the same', async () => {
  const runner = await headRunner(wholeHead());
  const embeddings = numbers(7 * 8, 3);
  const all = await runner.run(embeddings, 7);
  for (let row = 0; row < 7; row++) {
    expect(await runner.run(embeddings.subarray(row * 8, row * 8 + 8), 1)).toEqual(
      all.subarray(row, row + 1),
    );
  }
  expect(await runner.run(new Float32Array(0), 0)).toEqual(new Float32Array(0));
  await expect(runner.run(embeddings, 8)).rejects.toThrow(
    /56 values are not 8 embeddings of 8 for the head test_head/,
  );
});

test('an embedding with NaN has no probability, its neighbours have theirs', async () => {
  const runner = await headRunner(wholeHead());
  const embeddings = numbers(3 * 8, 3);
  const before = await runner.run(embeddings, 3);
  embeddings[8] = Number.NaN;
  expect(await runner.run(embeddings, 3)).toEqual(Float32Array.of(before[0], Number.NaN, before[2]));
});

test('concepts: the softmax over own and neutral prompts, each concept by itself', async () => {
  const layers: Layer[] = [
    {
      type: 'concepts',
      scale: 10,
      concepts: [
        { start: 0, end: 2 },
        { start: 2, end: 3 },
      ],
      neutral: { start: 3, end: 5 },
    },
  ];
  const head = checkHead({ info: infoOf(5, ['a', 'b']), layers }, 'c');
  const cosines = [0.3, 0.1, 0.25, 0.2, 0.15];
  const [a, b] = await (await headRunner(head)).run(Float32Array.from(cosines), 1);
  const e = cosines.map((value) => Math.exp(10 * value));
  expect(a).toBeCloseTo((e[0] + e[1]) / (e[0] + e[1] + e[3] + e[4]), 6);
  expect(b).toBeCloseTo(e[2] / (e[2] + e[3] + e[4]), 6);
});

test("the violence prompts' tag: index 1 is violent, the first of equal ones counts", async () => {
  const layers: Layer[] = [{ type: 'argmax', index: 1 }];
  const head = checkHead({ info: infoOf(2, ['violent']), layers }, 'v');
  const run = await (await headRunner(head)).run(Float32Array.of(0.2, 0.3, 0.3, 0.2, 0.25, 0.25), 3);
  expect([...run]).toEqual([1, 0, 0]);
});

/** The formula, plainly: what torch's modules in evaluation say they do. */
function byHand(
  x: Float32Array,
  norm: Float32Array[],
  widths: number[],
  linear: [Float32Array, Float32Array][],
): number {
  const [mean, variance, gamma, beta] = norm;
  let values = Array.from(x, (v, k) => ((v - mean[k]) / Math.sqrt(variance[k])) * gamma[k] + beta[k]);
  for (const [i, [weight, bias]] of linear.entries()) {
    values = Array.from({ length: widths[i + 1] }, (_, o) => {
      const sum = values.reduce((total, v, k) => total + v * weight[o * widths[i] + k], bias[o]);
      return i < linear.length - 1 ? Math.max(0, sum) : 1 / (1 + Math.exp(-sum));
    });
  }
  return values[0];
}

test("DataComp's form: BatchNorm1d with eps 0, ReLU between linear layers, a sigmoid at the end", async () => {
  const widths = [768, 64, 512, 256, 1];
  const norm = [1, 2, 3, 4].map((seed) => numbers(768, seed).map((v) => (seed === 2 ? 1.01 + v : v) * 0.05));
  const linear = widths
    .slice(1)
    .map((outputs, i): [Float32Array, Float32Array] => [
      numbers(widths[i] * outputs, 10 + i).map((v) => (4 * v) / Math.sqrt(widths[i])),
      numbers(outputs, 20 + i),
    ]);
  const tensors = [
    ...['running_mean', 'running_var', 'weight', 'bias'].map((name, i) => ({
      name: `model.0.${name}`,
      shape: [768],
      data: norm[i],
    })),
    // Out of order, as a file's names sort: 10 before 3.
    ...[3, 2, 1, 0].flatMap((i) => [
      { name: `model.${1 + 3 * i}.weight`, shape: [widths[i + 1], widths[i]], data: linear[i][0] },
      { name: `model.${1 + 3 * i}.bias`, shape: [widths[i + 1]], data: linear[i][1] },
    ]),
  ];
  const space = { name: 'OpenAI ViT-L/14', dim: 768, weights_sha256: ['c'.repeat(64)], models: [] };
  const bytes = encodeSafetensors(tensors);
  const file = { name: 'datacomp.safetensors', bytes, sha256: 'd'.repeat(64) };
  const head = await importPublished(file, { space, name: 'datacomp_nsfw', readNpy });
  const embeddings = numbers(5 * 768, 77).map((v) => v * 0.3);
  const got = await (await headRunner(head)).run(embeddings, 5);
  const want = [0, 1, 2, 3, 4].map((row) =>
    byHand(embeddings.subarray(row * 768, row * 768 + 768), norm, widths, linear),
  );
  expect(Math.max(...want) - Math.min(...want)).toBeGreaterThan(0.05);
  for (const [i, value] of want.entries()) expect(Math.abs(got[i] - value)).toBeLessThan(1e-5);
  await expect(importPublished(file, { readNpy })).rejects.toThrow(
    /says not whose embeddings.*--model MODEL/,
  );
  await expect(importPublished(file, { space: { ...space, dim: 512 }, name: 'x', readNpy })).rejects.toThrow(
    /takes embeddings of 768 components, but those of OpenAI ViT-L\/14 have 512/,
  );
});

test('a pickle is never loaded', async () => {
  const bytes = Uint8Array.from([0x80, 2, 0x7d, 0x71, 0, 0x2e]);
  const file = { name: 'h14_nsfw.pth', bytes, sha256: 'd'.repeat(64) };
  await expect(importPublished(file, { readNpy })).rejects.toThrow(/is a pickle.*safetensors/);
});

test('several labels: a softmax, by either way', async () => {
  const head = checkHead({ info: infoOf(4, ['a', 'b', 'c']), layers: [dense(4, 3, 1, 'softmax')] }, 's');
  const runs = await Promise.all(
    [headRunner(head), nodeHead(head)].map(async (made) => (await made).run(numbers(8, 2), 2)),
  );
  for (const run of runs) {
    expect(run[0] + run[1] + run[2]).toBeCloseTo(1, 6);
    expect(run).toEqual(expect.objectContaining({ length: 6 }));
  }
  expect(Math.max(...runs[0].map((value, i) => Math.abs(value - runs[1][i])))).toBeLessThan(1e-6);
});
