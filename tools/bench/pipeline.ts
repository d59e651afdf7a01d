/**
 * Pairs a second of `shardsieve score` and of the Python loop, end to end in fresh processes, alternating, on the same
 * shards, weights and cores. Medians, peak memory, and the largest difference of the scores.
 *
 *   npm run bench -- MODEL_DIR SHARD... [--python PATH] [--rounds 3]
 *
 * Loading the model is not counted on either side. Python needs tools/oracle/requirements.txt installed.
 */
import { $, argv, fs, os, path } from 'zx';

$.verbose = false;

interface Round {
  pairs: number;
  seconds: number;
  peakMb: number;
}

const [model, ...shards] = argv._;
if (model === undefined || shards.length === 0) throw new Error('usage: npm run bench -- MODEL_DIR SHARD...');
const python = String(argv['python'] ?? 'python3');
const rounds = Number(argv['rounds'] ?? 3);
const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'shardsieve-bench-'));

/** The clock starts at the first sample's event and not at the process, by the stats that the run itself wrote. */
async function shardsieve(round: number): Promise<Round> {
  const out = path.join(scratch, `metadata-${round}`);
  const run =
    await $`/usr/bin/env time -f %M node cli/main.ts score ${shards} --model local-dir:${model} --slug bench --out ${out} --json --quiet`;
  const summary = JSON.parse(run.stdout) as { scored: number };
  let seconds = 0;
  for (const file of await fs.readdir(out)) {
    if (file.endsWith('_stats.json')) seconds += (await fs.readJson(path.join(out, file))).seconds;
  }
  return { pairs: summary.scored, seconds, peakMb: Number(run.stderr.trim().split('\n').at(-1)) / 1024 };
}

async function reference(precision: 'fp32' | 'bf16'): Promise<Round> {
  const run = await $`${python} tools/bench/python_loop.py ${model} ${shards} --precision ${precision}`;
  const last = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as {
    pairs: number;
    seconds: number;
    peak_mb: number;
  };
  return { pairs: last.pairs, seconds: last.seconds, peakMb: last.peak_mb };
}

const sides: { [name: string]: (round: number) => Promise<Round> } = {
  'shardsieve fp32': shardsieve,
  'python fp32': () => reference('fp32'),
  'python bf16': () => reference('bf16'),
};
const results = new Map<string, Round[]>(Object.keys(sides).map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  const order = round % 2 === 0 ? Object.keys(sides) : Object.keys(sides).reverse();
  for (const name of order) {
    const result = await sides[name](round);
    results.get(name)!.push(result);
    console.log(
      `round ${round + 1}  ${name.padEnd(16)} ${(result.pairs / result.seconds).toFixed(2)} pairs/s`,
    );
  }
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const base = median(results.get('python fp32')!.map(({ pairs, seconds }) => pairs / seconds));
console.log('\n| side | pairs/s, median | ratio to Python fp32 | peak memory, MB |\n|---|---|---|---|');
for (const [name, all] of results) {
  const speed = median(all.map(({ pairs, seconds }) => pairs / seconds));
  const peak = Math.max(...all.map(({ peakMb }) => peakMb));
  console.log(`| ${name} | ${speed.toFixed(2)} | ${(speed / base).toFixed(2)} | ${Math.round(peak)} |`);
}
await fs.rm(scratch, { recursive: true, force: true });
