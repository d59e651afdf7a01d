/**
 * What safety columns cost in the pass that scores, and heads a row when they are added later: processor seconds of fresh
 * processes, which another's load disturbs less, and seconds of the wall.
 *
 *   node tools/bench/safety-pass.ts pass MODEL_DIR SHARD… [--rounds 3]
 *   node tools/bench/safety-pass.ts heads [--rows 100000] [--size l14|b32] [--rounds 3]
 *
 * `heads` makes a folder of random embeddings in shards of 10,000 rows, and a seeded head of the shape of LAION's; the time is that of `shardsieve annotate --safety head:FILE`, less that of the same with nothing to do.
 */
import { $, argv, fs, os, path } from 'zx';
import { openFolder } from '../../cli/io/folder.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { prepareFolder } from '../../src/metadata/folder.ts';
import { encodeHead } from '../../src/safety/heads/file.ts';
import { checkHead } from '../../src/safety/heads/head.ts';
import type { Layer } from '../../src/safety/heads/layers.ts';
import { VERSION } from '../../src/version.ts';

$.verbose = false;
const [what, ...rest] = argv._;
const rounds = Number(argv['rounds'] ?? 3);
const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'shardsieve-bench-'));

interface Cost {
  cpu: number;
  wall: number;
}

async function cost(args: string[]): Promise<Cost> {
  const started = performance.now();
  const run = await $({ quiet: true })`/usr/bin/env time -f ${'%U %S'} node cli/main.ts ${args} --quiet`;
  const [user, system] = run.stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { cpu: user + system, wall: (performance.now() - started) / 1000 };
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

async function compare(sides: { [name: string]: () => Promise<Cost> }): Promise<Map<string, Cost>> {
  const all = new Map<string, Cost[]>(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const names = round % 2 === 0 ? Object.keys(sides) : Object.keys(sides).reverse();
    for (const name of names) all.get(name)!.push(await sides[name]());
  }
  return new Map(
    [...all].map(([name, costs]) => [
      name,
      { cpu: median(costs.map(({ cpu }) => cpu)), wall: median(costs.map(({ wall }) => wall)) },
    ]),
  );
}

let runs = 0;
async function pass(model: string, shards: string[]): Promise<void> {
  const score = (...more: string[]) => {
    const out = path.join(scratch, `out-${runs++}`);
    return cost([
      'score',
      ...shards,
      '--model',
      `local-dir:${model}`,
      '--slug',
      'bench',
      '--out',
      out,
      ...more,
    ]);
  };
  const costs = await compare({
    'nothing to score': () => score('--limit', '1'),
    'CLIP alone': () => score(),
    'and nsfwjs': () => score('--safety', 'nsfwjs'),
    'and hashes': () => score('--safety', 'hashes'),
    'and concepts': () => score('--safety', 'concepts'),
  });
  const pairs = Number(argv['pairs'] ?? 96);
  const start = costs.get('nothing to score')!;
  const alone = costs.get('CLIP alone')!.cpu - start.cpu;
  for (const [name, { cpu, wall }] of costs) {
    const share = name.startsWith('and')
      ? `, ${((100 * (cpu - start.cpu - alone)) / alone).toFixed(1)}% more`
      : '';
    const each = (1000 * (cpu - start.cpu)) / pairs;
    console.log(
      `${name.padEnd(18)} ${each.toFixed(1)} ms of processor a pair${share}; ${wall.toFixed(1)} s in all`,
    );
  }
}

async function heads(rows: number): Promise<void> {
  const widths = argv['size'] === 'b32' ? [512, 32, 32, 1] : [768, 64, 512, 256, 1];
  const [dim] = widths;
  const folder = path.join(scratch, 'metadata');
  const out = openFolder(folder);
  const weights = 'ab'.repeat(32);
  await prepareFolder(out, {
    shardsieve: VERSION,
    rows: { fingerprint: 'rows' },
    models: { l14: { name: 'bench', fingerprint: 'l14', weights_sha256: weights } },
  });
  const perShard = 10_000;
  for (let s = 0; s * perShard < rows; s++) await commitRandom(out, s, perShard, dim);
  const head = path.join(scratch, 'head.safetensors');
  await fs.writeFile(head, encodeHead(seededHead(widths, weights)));
  const annotate = async (name: string): Promise<Cost> => {
    const copy = path.join(scratch, name);
    await fs.copy(folder, copy);
    const first = await cost(['annotate', copy, '--safety', `head:${head}`]);
    const again = await cost(['annotate', copy, '--safety', `head:${head}`]);
    await fs.remove(copy);
    return { cpu: first.cpu - again.cpu, wall: first.wall - again.wall };
  };
  const costs = await compare({ head: () => annotate(`copy-${runs++}`) });
  const { cpu, wall } = costs.get('head')!;
  const rate = (seconds: number) => Math.round(rows / seconds).toLocaleString('en-US');
  console.log(`${rate(wall)} rows a second, ${rate(cpu)} a second of processor`);
}

async function commitRandom(
  out: ReturnType<typeof openFolder>,
  s: number,
  rows: number,
  dim: number,
): Promise<void> {
  const image = Float32Array.from({ length: rows * dim }, () => (Math.random() - 0.5) / 14);
  await commitShard(out, String(s).padStart(5, '0'), {
    table: {
      rows: Array.from({ length: rows }, (_, i) => ({
        uid: (s * rows + i).toString(16).padStart(32, '0'),
        key: String(i).padStart(9, '0'),
        url: `https://example.org/pictures/${s}/${i}.jpg`,
        text: `a caption of the usual length, number ${i} of shard ${s}, with some words more`,
        original_width: 640,
        original_height: 480,
        sha256: (s * rows + i).toString(16).padStart(64, 'f'),
        face_bboxes: null,
        carried: {},
      })),
      clips: [{ slug: 'l14', dim, scores: new Float32Array(rows).fill(0.25), image, text: image }],
    },
    skipped: [],
    stats: {
      input: { name: `${s}.tar`, size: 1, mtimeMs: 1 },
      ...{ seen: rows, scored: rows, skipped: {} },
      groups: { rows: 'rows', 'clip:l14': 'l14' },
    },
  });
}

/** LAION's shapes without their lookups. */
function seededHead(widths: readonly number[], weights: string) {
  const [dim] = widths;
  const random = (n: number) => Float32Array.from({ length: n }, () => Math.random() - 0.5);
  const layers = widths.slice(1).map(
    (outputs, i): Layer => ({
      type: 'dense',
      ...{ inputs: widths[i], outputs, weight: random(widths[i] * outputs), bias: random(outputs) },
      activation: i === widths.length - 2 ? 'sigmoid' : 'relu',
    }),
  );
  const space = { name: 'bench', dim, weights_sha256: [weights], models: [] };
  const words = { title: 'bench', licence: 'none', source: 'none', trained_on: 'nothing', limits: 'all' };
  const info = { format: 1, name: 'bench', space, preprocess_fingerprint: null, ...words };
  return checkHead(
    { info: { ...info, labels: ['bench'], columns: ['safety_bench'], thresholds: {} }, layers },
    'bench',
  );
}

try {
  if (what === 'pass') await pass(String(rest[0]), rest.slice(1).map(String));
  else if (what === 'heads') await heads(Number(argv['rows'] ?? 100_000));
  else throw new Error('usage: safety-pass.ts pass MODEL_DIR SHARD… | heads');
} finally {
  if (argv['keep'] !== true) await fs.remove(scratch);
  else console.log(scratch);
}
