import { expect, test } from 'vitest';
import { nodeHead } from '../../../cli/heads/run.ts';
import { encodeSafetensors } from '../../../src/onnx/safetensors-write.ts';
import { checkHead } from '../../../src/safety/heads/head.ts';
import type { Layer } from '../../../src/safety/heads/layers.ts';
import { importPublished, type PublishedFile } from '../../../src/safety/heads/published.ts';
import { headRunner } from '../../../src/safety/heads/run.ts';
import { fixtureJson } from '../../helpers/fixtures.ts';
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

interface TorchGolden {
  datacomp: { names: string[]; value: number[] };
  h14: { names: string[]; value: number[] };
}

/** The state dict of tools/oracle/heads_torch_goldens.py: its weights are drawn by `numbers`. */
function torchFile(form: 'datacomp' | 'h14'): PublishedFile {
  const widths = form === 'datacomp' ? [768, 64, 512, 256, 1] : [1024, 1024, 2048, 1024, 256, 128, 16, 1];
  const values: Record<string, { shape: number[]; data: Float32Array | Int32Array }> = {
    '0.running_mean': vector(numbers(768, 1).map((x) => x * 0.0625)),
    '0.running_var': vector(numbers(768, 2).map((x) => Math.fround(x + 1.5) * 0.03125)),
    '0.weight': vector(numbers(768, 3)),
    '0.bias': vector(numbers(768, 4)),
    '0.num_batches_tracked': { shape: [], data: Int32Array.of(0) },
  };
  const names = fixtureJson<TorchGolden>('heads/torch.json')[form].names;
  const modules = [...new Set(names.map((name) => name.split('.')[0]))].filter(
    (m) => form === 'h14' || m !== '0',
  );
  for (const [i, module] of modules.entries()) {
    const [inputs, outputs] = [widths[i], widths[i + 1]];
    const weight = numbers(inputs * outputs, 10 + i).map((x) => (x * 2) / Math.sqrt(inputs));
    values[`${module}.weight`] = { shape: [outputs, inputs], data: weight };
    values[`${module}.bias`] = vector(numbers(outputs, 60 + i));
  }
  // As a file's names sort: module 12 before 3.
  const tensors = [...names].sort().map((name) => ({ name, ...values[name] }));
  return { name: `${form}.safetensors`, bytes: encodeSafetensors(tensors), sha256: 'd'.repeat(64) };
}

function vector(data: Float32Array): { shape: number[]; data: Float32Array } {
  return { shape: [data.length], data };
}

test.each([
  ['datacomp', 768],
  ['h14', 1024],
] as const)('layers of torch, %s: what torch gives for them', async (form, dim) => {
  const space = { name: 'OpenAI ViT-L/14', dim, weights_sha256: ['c'.repeat(64)], models: [] };
  const file = torchFile(form);
  const head = await importPublished(file, { space, name: 'theirs', readNpy });
  const { value } = fixtureJson<TorchGolden>('heads/torch.json')[form];
  for (const runner of [await headRunner(head), await nodeHead(head)]) {
    const got = await runner.run(numbers(6 * dim, 77), 6);
    for (const [i, want] of value.entries()) expect(Math.abs(got[i] - want)).toBeLessThan(1e-5);
  }
  await expect(importPublished(file, { readNpy })).rejects.toThrow(
    /says not whose embeddings.*--model MODEL/,
  );
  await expect(importPublished(file, { space: { ...space, dim: 512 }, name: 'x', readNpy })).rejects.toThrow(
    /takes embeddings of \d+ components, but those of OpenAI ViT-L\/14 have 512/,
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
