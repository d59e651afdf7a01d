import { beforeAll, describe, expect, it } from 'vitest';
import { nodeMatmul } from '../../cli/onnx/matmul.ts';
import { type KMeansOptions, kMeans } from '../../src/embeddings/kmeans.ts';
import { TILE } from '../../src/embeddings/matmul.ts';
import { plainMatmul } from '../../src/embeddings/matmul-plain.ts';
import { MersenneTwister, permutation } from '../../src/embeddings/random.ts';
import type { Float32Matrix } from '../../src/embeddings/types.ts';
import { MetadataError, UsageError } from '../../src/errors.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { fixtureFolder, fixtureJson } from '../helpers/fixtures.ts';
import { asFiles, largestDifference, pick, randomMatrix } from './support.ts';

interface Golden {
  k: number;
  seed: number;
  spherical?: boolean;
  max_points?: number;
  objective: number;
  splits: number[];
}
const goldens = fixtureJson<{ [name: string]: Golden }>('embeddings/goldens.json');
const matmul = nodeMatmul({ threads: 1 });
const arrays: { [name: string]: Float32Matrix } = {};
let image: Float32Matrix;

beforeAll(async () => {
  const folder = fixtureFolder('embeddings');
  const npz = await openNpz(await folder.open('arrays.npz'), 'arrays.npz');
  for (const name of npz.names) arrays[name] = await npz.matrix(name);
  image = await (await openNpz(await folder.open('pool.npz'), 'pool.npz')).matrix('demo_img');
});

describe('random numbers', () => {
  it('are MT19937’s', () => {
    const random = new MersenneTwister(5489);
    const first = random.next();
    for (let i = 1; i < 9999; i++) random.next();
    // The C++ standard's own check value: the 10,000th number of the default seed.
    expect([first, random.next()]).toEqual([3499211612, 4123659995]);
  });

  it('make a permutation', () => {
    expect(permutation(1000, 1).toSorted()).toEqual(Uint32Array.from({ length: 1000 }, (_, i) => i));
    expect(permutation(1000, 1)).not.toEqual(permutation(1000, 2));
  });
});

describe('Lloyd', () => {
  it.each(['plain', 'spherical', 'sampled', 'empty'])('gives faiss’s centroids (%s)', async (name) => {
    const { k, seed, spherical, max_points, objective, splits } = goldens[`kmeans_${name}`];
    const split: number[] = [];
    const options: KMeansOptions = {
      matmul,
      k,
      seed,
      spherical,
      maxPointsPerCentroid: max_points,
      onIteration: (report) => split.push(report.split),
    };
    const files = asFiles(image, image, [1, 90, 91]);
    const trained = await kMeans(files, options);
    expect(largestDifference(trained.centroids.data, arrays[`kmeans_${name}`].data)).toBeLessThan(1e-6);
    expect(Math.abs(trained.objective / objective - 1)).toBeLessThan(1e-5);
    expect(split.slice(0, 5)).toEqual(splits.slice(0, 5));
    const plain = await kMeans(files, { ...options, matmul: plainMatmul });
    expect(largestDifference(plain.centroids.data, trained.centroids.data)).toBeLessThan(1e-6);
  });

  it('has the same bits with one thread and four, rows held or read again', async () => {
    const wide = randomMatrix(2 * TILE + 300, 16, 8, true);
    const four = nodeMatmul({ threads: 4 });
    const train = (options: Partial<KMeansOptions>, cuts: number[]) =>
      kMeans(asFiles(wide, wide, cuts), { matmul, k: 20, iterations: 4, ...options });
    const one = await train({}, []);
    expect(one.rows).toBe(wide.rows);
    for (const other of [await train({ matmul: four }, []), await train({ memory: 0 }, [50, 3000])]) {
      expect(other).toEqual(one);
    }
    await four.release();
  });

  it('passes over rows without a direction, and trains on the rows asked for', async () => {
    const spoilt = image.data.slice();
    for (const row of [0, 1, 2, 3]) spoilt[row * image.dim] = Number.NaN;
    const bad = { ...image, data: spoilt };
    const only = { get: (row: number) => row >= 4 };
    const rest = await kMeans(asFiles(image, image), { matmul, k: 390, iterations: 1, only });
    expect([rest.rows, rest.unjudged]).toEqual([396, 0]);
    const skipped = await kMeans(asFiles(bad, bad), { matmul, k: 396, iterations: 1 });
    expect([skipped.rows, skipped.unjudged]).toEqual([396, 4]);
    expect(skipped.centroids.data.every(Number.isFinite)).toBe(true);
    await expect(kMeans(asFiles(bad, bad), { matmul, k: 397 })).rejects.toThrow(/only 396 rows/);
  });

  it('refuses what cannot be clustered', async () => {
    const files = asFiles(image, image);
    await expect(kMeans(files, { matmul, k: 401 })).rejects.toThrow(MetadataError);
    await expect(kMeans(files, { matmul, k: 0 })).rejects.toThrow(UsageError);
    await expect(kMeans(files, { matmul, k: 2, sample: 0 })).rejects.toThrow(UsageError);
    await expect(kMeans(files, { matmul, k: 50, sample: 0.1 })).rejects.toThrow(/40 rows/);
  });
});

describe('mini-batches', () => {
  it('come near Lloyd’s result, the same for a seed', async () => {
    const centres = randomMatrix(12, 16, 3, true);
    const noise = randomMatrix(6 * TILE, 16, 4);
    const rows = {
      ...noise,
      data: noise.data.map((value, at) => value * 0.1 + centres.data[at % centres.data.length]),
    };
    const files = asFiles(rows, rows);
    const train = (options: Partial<KMeansOptions>) => kMeans(files, { matmul, k: 12, ...options });
    const lloyd = await train({});
    const mini = await train({ method: 'minibatch' });
    expect(mini.objective).toBeLessThan(lloyd.objective * 1.5);
    expect((await train({ method: 'minibatch' })).centroids).toEqual(mini.centroids);
    expect((await train({ method: 'minibatch', seed: 1 })).centroids).not.toEqual(mini.centroids);
    const round = await train({ method: 'minibatch', spherical: true });
    for (let c = 0; c < 12; c++) {
      expect(Math.hypot(...pick(round.centroids, { start: c, end: c + 1 }).data)).toBeCloseTo(1, 5);
    }
  });
});
