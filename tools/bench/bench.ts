/**
 * Benchmarks that anyone can run, of fresh processes on this machine's cores, against Python where it has the same job:
 *
 *   npm run bench                        end to end: Shardsieve fp32, int8, int8-accurate and the Python loop, fp32 and bf16
 *   npm run bench -- stages              tar, decoding, resizing, tokenizer, towers, writing, each beside Python's
 *   npm run bench -- serve               the server under load, beside its towers alone, fp32 and int8
 *   npm run bench -- end-to-end --rounds 5 --count 512 --json FILE
 *
 * Options: --rounds N, --count PAIRS, --pictures DIR (repeatable), --python PATH, --model DIR, --shards A,B, --only NAMES, --seconds S,
 * --work DIR, --json FILE. What is missing is made in .cache/bench: a venv (`setup_python.sh`), seeded weights of
 * ViT-B-32-256 at full size, a pool of pictures at 512 px. The machine should have nothing else to do.
 */
import { parseArgs } from 'node:util';
import { fs } from 'zx';
import { endToEnd } from './end-to-end.ts';
import { serveUnderLoad } from './serve.ts';
import { prepare } from './setup.ts';
import { stages } from './stages.ts';
import { machine } from './tables.ts';

const FAMILY = { 'end-to-end': endToEnd, stages, serve: serveUnderLoad };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    count: { type: 'string', default: '256' },
    pictures: { type: 'string', multiple: true },
    python: { type: 'string' },
    model: { type: 'string' },
    shards: { type: 'string' },
    only: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    work: { type: 'string', default: '.cache/bench' },
    json: { type: 'string' },
  },
});
const wanted = positionals.length === 0 ? ['end-to-end'] : positionals;
const unknown = wanted.find((name) => !(name in FAMILY));
if (unknown !== undefined) {
  console.error(`no benchmark is called ${unknown}: there is ${Object.keys(FAMILY).join(', ')}`);
  process.exit(2);
}
const bench = await prepare({ ...values, rounds: Number(values.rounds), count: Number(values.count) });
console.log(machine());
console.log(`${bench.python.versions}\npool: ${bench.pool}\nmodel: ${bench.modelName}\n`);
const results: { [name: string]: unknown } = {};
for (const name of wanted) {
  const started = performance.now();
  results[name] = await FAMILY[name as keyof typeof FAMILY](bench);
  console.log(`\n${name}: ${Math.round((performance.now() - started) / 1000)} s in all\n`);
}
if (values.json !== undefined) {
  const about = {
    machine: machine(),
    python: bench.python.versions,
    pool: bench.pool,
    model: bench.modelName,
  };
  await fs.outputJson(values.json, { ...about, ...results }, { spaces: 2 });
}
