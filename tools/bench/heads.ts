/**
 * Rows a second of heads over embeddings in memory. `node tools/bench/heads.ts [HEAD…]`; without a head, seeded ones
 * of LAION's and DataComp's shapes. Each is timed five times on `ROWS` rows, runtime and plain; the median counts.
 */
import { nodeHead } from '../../cli/heads/run.ts';
import { openHead } from '../../cli/heads/store.ts';
import { checkHead, type Head } from '../../src/safety/heads/head.ts';
import type { Layer } from '../../src/safety/heads/layers.ts';
import { type HeadRunner, headRunner } from '../../src/safety/heads/run.ts';

const ROWS = 50_000;
const TIMES = 5;

const heads =
  process.argv.length > 2
    ? await Promise.all(process.argv.slice(2).map(open))
    : [seeded('l14'), seeded('b32')];
for (const head of heads) {
  const embeddings = random(ROWS * head.info.space.dim);
  await time(`${head.info.name}, runtime`, await nodeHead(head), embeddings);
  await time(
    `${head.info.name}, plain JavaScript`,
    await headRunner(head),
    embeddings.subarray(0, embeddings.length / 10),
  );
}

async function open(spec: string): Promise<Head> {
  return (await openHead(spec)).head;
}

async function time(name: string, runner: HeadRunner, embeddings: Float32Array): Promise<void> {
  const rows = embeddings.length / runner.head.info.space.dim;
  await runner.run(embeddings.subarray(0, 100 * runner.head.info.space.dim), 100);
  const rates: number[] = [];
  for (let i = 0; i < TIMES; i++) {
    const start = performance.now();
    await runner.run(embeddings, rows);
    rates.push((1000 * rows) / (performance.now() - start));
  }
  rates.sort((a, b) => a - b);
  console.log(`${name}: ${Math.round(rates[TIMES >> 1]).toLocaleString('en-US')} rows a second`);
  await runner.release();
}

function seeded(size: 'l14' | 'b32'): Head {
  const widths = size === 'l14' ? [768, 64, 512, 256, 1] : [512, 32, 32, 1];
  const lookups = (size === 'l14' ? [180, 316, 413, 440, 644] : [92, 133, 312]).map((column) => ({
    column,
    keys: Int32Array.from({ length: 2000 }, (_, i) => 40 * (i - 1000)),
    values: Int32Array.from({ length: 2000 }, (_, i) => i),
    otherwise: 0,
  }));
  const layers: Layer[] = [
    { type: 'encode', lookups },
    { type: 'normalise', mean: random(widths[0]), scale: random(widths[0]).map((x) => x + 1) },
    ...widths.slice(1).map((outputs, i): Layer => {
      const inputs = widths[i];
      const activation = i === widths.length - 2 ? 'sigmoid' : 'relu';
      return {
        type: 'dense',
        inputs,
        outputs,
        weight: random(inputs * outputs),
        bias: random(outputs),
        activation,
      };
    }),
  ];
  const info = {
    format: 1,
    name: size,
    title: size,
    space: { name: size, dim: widths[0], weights_sha256: [], models: [] },
    preprocess_fingerprint: null,
    labels: ['nsfw'],
    columns: [`nsfw_${size}`],
    thresholds: {},
    licence: 'none',
    source: 'seeded',
    trained_on: 'nothing',
    limits: 'all',
  };
  return checkHead({ info, layers }, size);
}

function random(count: number): Float32Array {
  let state = 7;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) * 0.05;
  });
}
