import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeMatmul } from '../../cli/onnx/matmul.ts';
import { assign, UNASSIGNED } from '../../src/embeddings/assign.ts';
import { imageBased, targetCentroids } from '../../src/embeddings/image-based.ts';
import { plainMatmul } from '../../src/embeddings/matmul-plain.ts';
import { nearDuplicates } from '../../src/embeddings/near-duplicates.ts';
import { logSumExp, negClipLoss, partition } from '../../src/embeddings/negcliploss.ts';
import { normSim } from '../../src/embeddings/normsim.ts';
import { type EmbeddingFile, type Float32Matrix, slice } from '../../src/embeddings/types.ts';
import { CancelledError, MetadataError, UsageError } from '../../src/errors.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { fixtureFolder, fixtureJson } from '../helpers/fixtures.ts';
import { asFiles, largestDifference, pick, randomMatrix } from './support.ts';

interface Goldens {
  assign: number[];
  target_ids: number[];
  image_based: number[];
  negcliploss: { whole: number[]; warm: number[] };
  normsim: { [p in '2' | 'inf']: { [targets: string]: number[] } };
  semdedup: { epsilon: number; keep: 'hard' | 'easy' | 'first'; dropped: number[] }[];
}

const goldens = fixtureJson<Goldens>('embeddings/goldens.json');
const runtime = nodeMatmul({ threads: 1 });
const arrays: { [name: string]: Float32Matrix } = {};
let image: Float32Matrix;
let text: Float32Matrix;
let files: EmbeddingFile[];

beforeAll(async () => {
  const folder = fixtureFolder('embeddings');
  const npz = await openNpz(await folder.open('arrays.npz'), 'arrays.npz');
  for (const name of npz.names) arrays[name] = await npz.matrix(name);
  const pool = await openNpz(await folder.open('pool.npz'), 'pool.npz');
  [image, text] = [await pool.matrix('demo_img'), await pool.matrix('demo_txt')];
  files = asFiles(image, text, [7, 150]);
});
afterAll(() => runtime.release());

const flagged = (flags: Uint8Array, value: number) => [...flags.keys()].filter((row) => flags[row] === value);
/** The pool with one row spoilt. */
const spoilt = (row: number, value: number) => {
  const data = image.data.slice();
  data[row * image.dim] = value;
  return asFiles({ ...image, data }, text, [7, 150]);
};

describe.each([
  ['the runtime', runtime],
  ['plain products', plainMatmul],
])('image_based on %s', (_, matmul) => {
  it('assigns by the largest dot product, as NumPy', async () => {
    const { ids, unjudged } = await assign(files, arrays['centroids'], { matmul });
    expect([...ids]).toEqual(goldens.assign);
    expect(unjudged).toBe(0);
  });

  it('keeps what falls to the centroids of the targets', async () => {
    const targets = [slice(arrays['targets'], 0, 1), slice(arrays['targets'], 1, 4)];
    const ids = await targetCentroids(targets, arrays['centroids'], { matmul });
    expect([...ids]).toEqual(goldens.target_ids);
    const { keep } = await imageBased(files, arrays['centroids'], ids, { matmul });
    expect(flagged(keep, 1)).toEqual(goldens.image_based);
  });
});

describe('assign', () => {
  it('looks only at the rows asked for, and counts those without a direction', async () => {
    const only = { get: (row: number) => row % 3 === 0 };
    const progress: number[] = [];
    const { ids } = await assign(files, arrays['centroids'], {
      matmul: runtime,
      only,
      onProgress: (done, total) => progress.push(done, total),
    });
    expect([...ids]).toEqual(goldens.assign.map((id, row) => (row % 3 === 0 ? id : UNASSIGNED)));
    expect(progress).toEqual([134, 134]);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const bad = await assign(spoilt(8, value), arrays['centroids'], { matmul: runtime });
      expect([bad.ids[8], bad.unjudged]).toEqual([UNASSIGNED, 1]);
      expect(bad.ids[9]).toBe(goldens.assign[9]);
    }
  });

  it('refuses centroids of another space, and stops when told to', async () => {
    const other = randomMatrix(3, 16, 1);
    await expect(assign(files, other, { matmul: runtime })).rejects.toThrow(/32 values a row.*16/);
    const signal = AbortSignal.abort();
    await expect(assign(files, arrays['centroids'], { matmul: runtime, signal })).rejects.toThrow(
      CancelledError,
    );
  });
});

describe('negCLIPLoss', () => {
  it.each([
    ['whole', 0.01],
    ['warm', 0.07],
  ] as const)('is the formula in NumPy (%s)', async (name, temperature) => {
    for (const matmul of [runtime, plainMatmul]) {
      const { scores } = await negClipLoss(files, { matmul, temperature, within: 'pool' });
      expect(largestDifference(scores, goldens.negcliploss[name])).toBeLessThan(3e-7);
    }
  });

  /** The formula in float64, over the batches of one round. */
  const formula = (rows: Uint32Array, temperature: number, into: Float64Array) => {
    const [a, b] = [pick(image, rows), pick(text, rows)];
    const n = rows.length;
    const s = (i: number, j: number) => {
      let sum = 0;
      for (let d = 0; d < a.dim; d++) sum += a.data[i * a.dim + d] * b.data[j * a.dim + d];
      return sum;
    };
    const lse = (values: number[]) => {
      const max = Math.max(...values);
      return max + Math.log(values.reduce((sum, value) => sum + Math.exp(value - max), 0));
    };
    const numbers = Array.from({ length: n }, (_, j) => j);
    for (const i of numbers) {
      const both =
        lse(numbers.map((j) => s(i, j) / temperature)) + lse(numbers.map((j) => s(j, i) / temperature));
      into[rows[i]] += s(i, i) - (temperature / 2) * both;
    }
  };

  it('averages partitions, of each file by itself or of the pool, the last batch smaller', async () => {
    for (const within of ['file', 'pool'] as const) {
      const want = new Float64Array(400);
      const groups =
        within === 'pool'
          ? [['pool', 0, 400] as const]
          : files.map(({ shard, rows }, i) => [shard, [0, 7, 150][i], rows] as const);
      for (const [name, start, rows] of groups) {
        for (const round of [0, 1]) {
          for (const batch of partition(rows, { batch: 64, seed: 5, name, round })) {
            formula(
              batch.map((row) => row + start),
              0.01,
              want,
            );
          }
        }
      }
      const options = { matmul: runtime, batch: 64, batches: 2, seed: 5, within };
      const { scores } = await negClipLoss(files, options);
      expect(
        largestDifference(
          scores,
          want.map((sum) => sum / 2),
        ),
      ).toBeLessThan(3e-7);
      expect((await negClipLoss(files, options)).scores).toEqual(scores);
      expect((await negClipLoss(files, { ...options, seed: 6 })).scores).not.toEqual(scores);
    }
  });

  it('puts each row in one batch', () => {
    const batches = [...partition(150, { batch: 64, seed: 0, name: 'x', round: 0 })];
    expect(batches.map((batch) => batch.length)).toEqual([64, 64, 22]);
    expect(batches.flatMap((batch) => [...batch]).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 150 }, (_, i) => i),
    );
  });

  it('leaves pairs without a direction out of every batch', async () => {
    const { scores, unjudged } = await negClipLoss(spoilt(8, Number.NaN), {
      matmul: runtime,
      within: 'pool',
    });
    expect(unjudged).toBe(1);
    expect(scores[8]).toBeNaN();
    const rest = Uint32Array.from({ length: 400 }, (_, row) => row).filter((row) => row !== 8);
    const want = new Float64Array(400);
    formula(rest, 0.01, want);
    expect(
      largestDifference(
        [...rest].map((row) => scores[row]),
        [...rest].map((row) => want[row]),
      ),
    ).toBeLessThan(3e-7);
  });

  it('refuses embeddings that were never normalised, by file and row', async () => {
    const data = image.data.map((value, at) => (Math.trunc(at / image.dim) === 160 ? value * 3 : value));
    const wrong = negClipLoss(asFiles({ ...image, data }, text, [150]), { matmul: runtime });
    await expect(wrong).rejects.toThrow(MetadataError);
    await expect(wrong).rejects.toThrow(/row 10 has length 3\.0.*memory\/1\.npz/);
  });

  it('joins tiles to the sums of the whole', async () => {
    const [a, b] = [randomMatrix(4500, 8, 1, true), randomMatrix(4100, 8, 2, true)];
    const { byRow, byColumn } = await logSumExp(runtime, a, b, 100);
    const columns = new Float64Array(b.rows);
    let largest = 0;
    for (let i = 0; i < a.rows; i++) {
      let sum = 0;
      for (let j = 0; j < b.rows; j++) {
        let dot = 0;
        for (let d = 0; d < 8; d++) dot += a.data[i * 8 + d] * b.data[j * 8 + d];
        const e = Math.exp(100 * dot);
        sum += e;
        columns[j] += e;
      }
      largest = Math.max(largest, Math.abs(Math.log(sum) - byRow[i]));
    }
    for (let j = 0; j < b.rows; j++)
      largest = Math.max(largest, Math.abs(Math.log(columns[j]) - byColumn[j]));
    expect(largest).toBeLessThan(2e-5);
  });
});

describe('NormSim', () => {
  it.each([
    ['2', '20'],
    ['2', '90'],
    ['inf', '20'],
    ['inf', '90'],
  ] as const)('with p = %s is the formula in NumPy, with %s targets', async (p, count) => {
    const targets = [slice(arrays['targets'], 0, 11), slice(arrays['targets'], 11, Number(count))];
    for (const matmul of [runtime, plainMatmul]) {
      const { scores, unjudged } = await normSim(files, targets, { matmul, p: p === '2' ? 2 : p });
      expect(largestDifference(scores, goldens.normsim[p][count])).toBeLessThan(1e-6);
      expect(unjudged).toBe(0);
    }
  });

  it('scores only the rows asked for that have a direction, and wants targets', async () => {
    for (const p of [2, 'inf'] as const) {
      const only = { get: (row: number) => row < 10 };
      const { scores, unjudged } = await normSim(spoilt(8, 1 / 0), [arrays['targets']], {
        matmul: runtime,
        p,
        only,
      });
      expect(
        flagged(
          Uint8Array.from(scores, (score) => (Number.isNaN(score) ? 0 : 1)),
          1,
        ),
      ).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 9]);
      expect(unjudged).toBe(1);
      expect(scores[9]).toBeCloseTo(goldens.normsim[p === 2 ? '2' : p]['90'][9], 5);
      await expect(normSim(files, [], { matmul: runtime, p })).rejects.toThrow(/target set holds no/);
      await expect(normSim(files, [randomMatrix(2, 5, 1)], { matmul: runtime, p })).rejects.toThrow(
        MetadataError,
      );
    }
  });
});

describe('near duplicates', () => {
  it.each(goldens.semdedup)(
    'are SemDeDup’s at ε = $epsilon, keeping the $keep',
    async ({ epsilon, keep, dropped }) => {
      const centroids = arrays['kmeans_spherical'];
      const found = await nearDuplicates(files, { matmul: runtime, centroids, epsilon, keep });
      expect(flagged(found.keep, 0)).toEqual(dropped);
      expect(found).toMatchObject({ duplicates: dropped.length, unjudged: 0 });
      const small = await nearDuplicates(files, { matmul: plainMatmul, centroids, epsilon, keep, memory: 1 });
      expect(small.keep).toEqual(found.keep);
    },
  );

  it('are the same when a cluster is compared tile by tile from its files', async () => {
    const base = randomMatrix(3000, 8, 4, true);
    const data = new Float32Array(6000 * 8);
    for (let i = 0; i < 6000; i++) {
      for (let d = 0; d < 8; d++)
        data[i * 8 + d] = base.data[(i % 3000) * 8 + d] + (i >= 3000 && d === i % 8 ? 0.01 : 0);
    }
    const wide: Float32Matrix = { rows: 6000, dim: 8, data };
    const centroids = { rows: 1, dim: 8, data: Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0) };
    const options = { matmul: runtime, centroids, epsilon: 0.0005, keep: 'first' } as const;
    const large = await nearDuplicates(asFiles(wide, wide), options);
    const tiled = await nearDuplicates(asFiles(wide, wide, [100, 5000]), { ...options, memory: 1 });
    expect(tiled.keep).toEqual(large.keep);
    expect(large.largestCluster).toBe(6000);
    expect(flagged(large.keep, 0).filter((row) => row >= 3000)).toHaveLength(3000);
  });

  it('are looked for among the rows asked for', async () => {
    const only = { get: (row: number) => row !== 0 };
    const options = {
      matmul: runtime,
      centroids: arrays['kmeans_spherical'],
      epsilon: 0.001,
      keep: 'first',
    } as const;
    const all = await nearDuplicates(files, options);
    expect([all.keep[0], all.keep[1]]).toEqual([1, 0]);
    const rest = await nearDuplicates(files, { ...options, only });
    expect([rest.keep[0], rest.keep[1]]).toEqual([0, 1]);
    expect((await nearDuplicates(spoilt(3, Number.NaN), options)).unjudged).toBe(1);
    await expect(nearDuplicates(files, { ...options, epsilon: 0 })).rejects.toThrow(UsageError);
  });
});
