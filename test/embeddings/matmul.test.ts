import { afterAll, describe, expect, it } from 'vitest';
import { nodeMatmul } from '../../cli/onnx/matmul.ts';
import { TILE, tiles } from '../../src/embeddings/matmul.ts';
import { plainMatmul } from '../../src/embeddings/matmul-plain.ts';
import { DeviceError, UsageError } from '../../src/errors.ts';
import { largestDifference, randomMatrix } from './support.ts';

const runtime = nodeMatmul({ threads: 2 });
afterAll(() => runtime.release());

const a = randomMatrix(37, 24, 1, true);
const b = randomMatrix(29, 24, 2, true);

describe('products on the runtime are the plain ones', () => {
  it('as a tile', async () => {
    const [fast, plain] = await Promise.all([runtime.product(a, b), plainMatmul.product(a, b)]);
    expect(plain).toHaveLength(37 * 29);
    expect(largestDifference(fast, plain)).toBeLessThan(2e-6);
  });

  it.each([undefined, Float32Array.from({ length: 29 }, (_, j) => j / 7)])(
    'as the best of a row',
    async (bias) => {
      const [fast, plain] = await Promise.all([runtime.best(a, b, bias), plainMatmul.best(a, b, bias)]);
      expect(fast.index).toEqual(plain.index);
      expect(new Set(plain.index).size).toBeGreaterThan(3);
      expect(largestDifference(fast.value, plain.value)).toBeLessThan(2e-6);
    },
  );

  it('as the largest, the squares and the Gram matrix', async () => {
    for (const kind of ['largest', 'squares'] as const) {
      const [fast, plain] = await Promise.all([runtime[kind](a, b), plainMatmul[kind](a, b)]);
      expect(plain).toHaveLength(37);
      expect(largestDifference(fast, plain)).toBeLessThan(1e-5);
    }
    const [fast, plain] = await Promise.all([runtime.gram(a), plainMatmul.gram(a)]);
    expect(plain).toHaveLength(24 * 24);
    expect(largestDifference(fast, plain)).toBeLessThan(1e-5);
  });

  it.each([
    ['close together', 50],
    ['so far apart that no exponential fits all', 200],
  ])('as sums of exponentials of values %s', async (_, scale) => {
    const [fast, plain] = await Promise.all([runtime.expSums(a, b, scale), plainMatmul.expSums(a, b, scale)]);
    const top = Math.max(...plain.rowMax);
    const low = Math.min(...plain.rowMax, ...plain.columnMax);
    expect(top - low > 60).toBe(scale === 200);
    if (scale === 200) expect(top).toBeGreaterThan(88.8);
    for (const side of ['row', 'column'] as const) {
      const lse = (sums: typeof fast) =>
        sums[`${side}Sum`].map((sum, i) => Math.log(sum) + sums[`${side}Max`][i]);
      expect(lse(plain).every(Number.isFinite)).toBe(true);
      expect(largestDifference(lse(fast), lse(plain))).toBeLessThan(1e-4);
    }
  });
});

it('takes the first of equal columns', async () => {
  const twice = { rows: 4, dim: 2, data: Float32Array.of(0, 1, 1, 0, 1, 0, 0, 1) };
  const rows = { rows: 3, dim: 2, data: Float32Array.of(1, 0, 0, 1, 0, 0) };
  for (const matmul of [runtime, plainMatmul]) {
    expect([...(await matmul.best(rows, twice)).index]).toEqual([1, 0, 0]);
  }
});

it('gives the same bits with one thread and with four', async () => {
  const [one, four] = [nodeMatmul({ threads: 1 }), nodeMatmul({ threads: 4 })];
  const big = randomMatrix(TILE, 96, 3);
  for (const rows of [TILE, 300, 17]) {
    const other = randomMatrix(rows, 96, 4);
    expect(await four.product(big, other)).toEqual(await one.product(big, other));
    expect(await four.expSums(big, other, 100)).toEqual(await one.expSums(big, other, 100));
    expect(await four.squares(big, other)).toEqual(await one.squares(big, other));
  }
  // Fewer rows than columns: the kernels would split by columns here, and sum otherwise.
  const [few, more] = [randomMatrix(64, 512, 5), randomMatrix(100, 512, 6)];
  for (const kind of ['product', 'best', 'largest', 'squares'] as const) {
    expect(await four[kind](few, more)).toEqual(await one[kind](few, more));
  }
  expect(await four.expSums(few, more, 1)).toEqual(await one.expSums(few, more, 1));
  expect(await four.gram(big)).toEqual(await one.gram(big));
  await Promise.all([one.release(), four.release()]);
});

it('cuts a matrix to tiles that cover it', () => {
  const matrix = { rows: 2 * TILE + 5, dim: 2, data: new Float32Array(2 * (2 * TILE + 5)) };
  expect([...tiles(matrix)].map(({ start, tile }) => [start, tile.rows, tile.data.length])).toEqual([
    [0, TILE, 2 * TILE],
    [TILE, TILE, 2 * TILE],
    [2 * TILE, 5, 10],
  ]);
});

it('says so where a device is not to be had', async () => {
  expect(() => nodeMatmul({ device: 'no-such-device' })).toThrow(UsageError);
  const matmul = nodeMatmul({ device: process.platform === 'darwin' ? 'directml' : 'coreml' });
  await expect(matmul.product(a, b)).rejects.toThrow(DeviceError);
  await matmul.release();
});
