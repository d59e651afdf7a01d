/**
 * Embedding methods against torch, NumPy and faiss in the same run, on the same synthetic embeddings:
 *
 *     node tools/bench/embeddings.ts --python PYTHON [--rows 20000] [--dim 768] [--k 4096] [--targets 10000]
 *                                    [--methods assign,kmeans,negcliploss,normsim_2,normsim_inf] [--threads 2]
 *
 * PYTHON needs torch, NumPy and faiss-cpu. One line of JSON a method: rows a second of both sides, and the largest
 * difference of each from float64 (of assignments: how many differ; of k-means: how many centroids differ from faiss's). `--memory` runs negCLIPLoss at B = rows without
 * Python and tells the peak of the process.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openFolder } from '../../cli/io/folder.ts';
import { nodeMatmul } from '../../cli/onnx/matmul.ts';
import { writeMatrix } from '../../src/embeddings/arrays.ts';
import { assign } from '../../src/embeddings/assign.ts';
import { kMeans } from '../../src/embeddings/kmeans.ts';
import { negClipLoss } from '../../src/embeddings/negcliploss.ts';
import { normSim } from '../../src/embeddings/normsim.ts';
import type { EmbeddingFile, Float32Matrix, RowRange } from '../../src/embeddings/types.ts';
import { fromFloat16, toFloat16 } from '../../src/metadata/float16.ts';
import { parseNpyMatrix } from '../../src/metadata/npy-matrix.ts';

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    rows: { type: 'string', default: '20000' },
    dim: { type: 'string', default: '768' },
    k: { type: 'string', default: '4096' },
    targets: { type: 'string', default: '10000' },
    methods: { type: 'string', default: 'assign,kmeans,negcliploss,normsim_2,normsim_inf' },
    threads: { type: 'string', default: '2' },
    memory: { type: 'boolean', default: false },
  },
});
const [rows, dim, k, threads] = [values.rows, values.dim, values.k, values.threads].map(Number);

/** Sums of uniform numbers around common centres: clusters, in a space as crowded as CLIP's. */
function rowsAround(
  count: number,
  centres: Float32Matrix | undefined,
  spread: number,
  seed: number,
): Float32Matrix {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const data = new Float32Array(count * dim);
  for (let i = 0; i < count; i++) {
    const centre = centres === undefined ? 0 : Math.trunc(((next() + 1) / 2) * centres.rows) * dim;
    let squares = 0;
    for (let d = 0; d < dim; d++) {
      const value = (centres?.data[centre + d] ?? 0) + (spread * (next() + next())) / Math.sqrt(dim);
      data[i * dim + d] = value;
      squares += value * value;
    }
    for (let d = 0; d < dim; d++) data[i * dim + d] /= Math.sqrt(squares);
  }
  // As a metadata file holds them.
  return { rows: count, dim, data: fromFloat16(toFloat16(data)) };
}

const centres = rowsAround(300, undefined, 1, 1);
const image = rowsAround(rows, centres, 0.8, 2);
const text: Float32Matrix = { ...image, data: new Float32Array(image.data.length) };
{
  const noise = rowsAround(rows, undefined, 1, 3);
  for (let i = 0; i < rows; i++) {
    let squares = 0;
    for (let at = i * dim; at < (i + 1) * dim; at++) {
      text.data[at] = 0.3 * image.data[at] + noise.data[at];
      squares += text.data[at] ** 2;
    }
    for (let at = i * dim; at < (i + 1) * dim; at++) text.data[at] /= Math.sqrt(squares);
  }
  text.data = fromFloat16(toFloat16(text.data));
}

function part({ data }: Float32Matrix, wanted: RowRange = { start: 0, end: rows }): Float32Matrix {
  if (!(wanted instanceof Uint32Array)) {
    return {
      rows: wanted.end - wanted.start,
      dim,
      data: data.subarray(wanted.start * dim, wanted.end * dim),
    };
  }
  const out = new Float32Array(wanted.length * dim);
  for (const [i, row] of wanted.entries()) out.set(data.subarray(row * dim, (row + 1) * dim), i * dim);
  return { rows: wanted.length, dim, data: out };
}
const file: EmbeddingFile = {
  ...{ name: 'memory', shard: '0', rows },
  image: async (wanted) => part(image, wanted),
  text: async (wanted) => part(text, wanted),
};
const matmul = nodeMatmul({ threads });

if (values.memory) {
  const before = process.memoryUsage.rss();
  const started = performance.now();
  await negClipLoss([file], { matmul });
  const seconds = (performance.now() - started) / 1000;
  const peak = process.resourceUsage().maxRSS * 1024;
  const figures = { rows, seconds, rows_a_second: rows / seconds, rss_before: before, rss_peak: peak };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  process.exit();
}

const folder = await mkdtemp(join(tmpdir(), 'shardsieve-bench-'));
try {
  const centroids = rowsAround(k, centres, 0.5, 4);
  const targets = rowsAround(Number(values.targets), centres, 0.8, 5);
  for (const [name, matrix] of Object.entries({ image, text, centroids, targets })) {
    await writeMatrix(openFolder(folder), `${name}.npy`, matrix);
  }
  const scores = (p: 2 | 'inf') => async () => (await normSim([file], [targets], { matmul, p })).scores;
  const methods: { [name: string]: () => Promise<ArrayLike<number>> } = {
    assign: async () => (await assign([file], centroids, { matmul })).ids,
    kmeans: async () => (await kMeans([file], { matmul, k, iterations: 5 })).centroids.data,
    negcliploss: async () => (await negClipLoss([file], { matmul, batch: rows })).scores,
    normsim_2: scores(2),
    normsim_inf: scores('inf'),
  };
  for (const method of values.methods.split(',')) {
    const script = join(import.meta.dirname, 'embeddings.py');
    const printed = execFileSync(values.python ?? 'python3', [script, folder, method, values.threads], {
      encoding: 'utf8',
    });
    const python = JSON.parse(printed.trim().split('\n').at(-1) ?? '') as { seconds: number };
    const started = performance.now();
    const ours = await methods[method]();
    const seconds = (performance.now() - started) / 1000;
    const load = async (name: string) =>
      parseNpyMatrix(new Uint8Array(await readFile(join(folder, name))), name).data;
    const theirs = await load(`${method}.npy`);
    const exact = await load(`${method}_64.npy`).catch(() => theirs);
    const count = method === 'assign' ? differing : method === 'kmeans' ? movedCentroids : largest;
    const figures = {
      method,
      ...{ seconds: { shardsieve: seconds, python: python.seconds } },
      rows_a_second: { shardsieve: Math.round(rows / seconds), python: Math.round(rows / python.seconds) },
      from_float64: { shardsieve: count(ours, exact), python: count(theirs, exact) },
    };
    process.stdout.write(`${JSON.stringify(figures)}\n`);
  }
} finally {
  await rm(folder, { recursive: true });
  await matmul.release();
}

function largest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let found = 0;
  for (let i = 0; i < a.length; i++) found = Math.max(found, Math.abs(a[i] - b[i]));
  return found;
}

/** Centroids that are not the same to 1e-5: a row between two centroids was given to the other. */
function movedCentroids(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let found = 0;
  for (let c = 0; c < a.length; c += dim) {
    let isSame = true;
    for (let i = c; i < c + dim; i++) isSame &&= Math.abs(a[i] - b[i]) < 1e-5;
    if (!isSame) found++;
  }
  return found;
}

function differing(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let found = 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) found++;
  return found;
}
