/**
 * What `--precision int8 --refine` costs beside int8 and fp32, and whether the subset is fp32's.
 *
 *   node tools/bench/refine.ts MODEL [SHARD…] [--pairs 4000] [--fraction 0.3] [--threshold T]
 *     [--work DIR [--until quantised|fp32|int8]]
 *
 * MODEL as `shardsieve score` takes it; without shards a pool of the demo's drawings is made, varied, `--pairs` of them.
 * Processor seconds of fresh processes, models' loading included, which another's load disturbs less than seconds of the
 * wall; refining is what the second command adds to a folder that is scored in int8. Quantising is done before, and not
 * counted. With `--work DIR` what was scored is kept and not scored again, and the times are those of the first run;
 * `--until` ends after a step, for machines that are to be left alone in between.
 */
import { $, argv, fs, os, path } from 'zx';
import type { Refined } from '../../src/run/refine.ts';
import { writeDrawings } from '../../test/helpers/drawings.ts';

$.verbose = false;
interface Cost {
  cpu: number;
  wall: number;
}

const [model, ...given] = argv._;
if (model === undefined) throw new Error('usage: node tools/bench/refine.ts MODEL [SHARD…]');
const work = String(argv['work'] ?? (await fs.mkdtemp(path.join(os.tmpdir(), 'shardsieve-bench-'))));
await fs.ensureDir(work);
const at = (name: string) => path.join(work, name);
const bounds = [
  ...(argv['threshold'] === undefined ? [['--fraction', String(argv['fraction'] ?? 0.3)]] : []),
  ...(argv['threshold'] === undefined ? [] : [['--threshold', String(argv['threshold'])]]),
].flat();

async function cost(args: string[]): Promise<Cost & { out: string }> {
  const started = performance.now();
  const run = await $({ quiet: true })`/usr/bin/env time -f ${'%U %S'} node cli/main.ts ${args}`;
  const [user, system] = run.stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { cpu: user + system, wall: (performance.now() - started) / 1000, out: run.stdout };
}

/** Runs once; the next time what it said is read from a file. */
async function kept<T>(name: string, make: () => Promise<T>): Promise<T> {
  const file = at(`${name}.json`);
  if (await fs.pathExists(file)) return (await fs.readJson(file)) as T;
  const value = await make();
  await fs.writeJson(file, value);
  if (argv['until'] === name) process.exit();
  return value;
}

const shards = given.length > 0 ? given.map(String) : [await makePool()];
async function makePool(): Promise<string> {
  const pairs = Number(argv['pairs'] ?? 4000);
  const pool = at(`pool-${pairs}`);
  if (!(await fs.pathExists(pool))) await writeDrawings(pool, Math.ceil(pairs / 500), Math.min(pairs, 500));
  return pool;
}

const score = (out: string, ...more: string[]) =>
  cost(['score', ...shards, '--model', model, '--slug', 'bench', '--out', at(out), '--json', '-q', ...more]);
// Quantises the weights, where that was not done.
await kept('quantised', () => score('quantised', '--precision', 'int8', '--limit', '1'));
const fp32 = await kept('fp32', () => score('fp32'));
const int8 = await kept('int8', () => score('int8', '--precision', 'int8'));
const name = `refined${bounds.join('')}`;
const refine = await kept(name, async () => {
  await fs.copy(at('int8'), at(name));
  return score(name, '--precision', 'int8', '--refine', ...bounds);
});

async function subset(metadata: string): Promise<Buffer> {
  await $`node cli/main.ts select ${at(metadata)} ${bounds} --out ${at(`${metadata}.npy`)}`;
  return fs.readFile(at(`${metadata}.npy`));
}
const wanted = await subset('fp32');
const uids = (bytes: Buffer): Set<string> => {
  // A header of a multiple of 64 bytes, then 16 bytes a uid.
  const start = 10 + bytes.readUInt16LE(8);
  const count = (bytes.length - start) / 16;
  return new Set(
    Array.from({ length: count }, (_, i) => bytes.toString('hex', start + 16 * i, start + 16 * (i + 1))),
  );
};
const differing = (a: Set<string>, b: Set<string>) => [...a].filter((uid) => !b.has(uid)).length;
const [a, b] = [uids(wanted), uids(await subset('int8'))];
const mixed = await subset(name);
const [found] = (JSON.parse(refine.out) as { refine: (Refined & { rounds: number })[] }).refine;

const line = (what: string, { cpu, wall }: Cost) =>
  `| ${what} | ${cpu.toFixed(1)} | ${wall.toFixed(1)} | ${(fp32.cpu / cpu).toFixed(2)} |`;
const both = { cpu: int8.cpu + refine.cpu, wall: int8.wall + refine.wall };
console.log(`${found.rows} pairs, ${bounds.join(' ')}, ${os.cpus().length} cores (${os.cpus()[0].model})

| | processor s | wall s | fp32's, times faster |
|---|---|---|---|
${line('fp32', fp32)}
${line('int8', int8)}
${line('refining', refine)}
${line('int8 and refining', both)}

fp32 decides ${found.refined} rows (${((100 * found.refined) / found.rows).toFixed(1)}%), in ${found.rounds + 1} rounds, the ${found.sample.rows} drawn ones counted
band ${found.band.toPrecision(3)}: ${found.factor} times ${found.largest.toPrecision(3)}; largest of the drawn ${found.sample.largest.toPrecision(3)}; threshold ${found.thresholds.join(', ')}
subset: ${a.size} of fp32; int8 alone loses ${differing(a, b)} and gains ${differing(b, a)}; refined it is ${mixed.equals(wanted) ? 'equal to the byte' : 'NOT EQUAL'}`);
if (argv['work'] === undefined) await fs.remove(work);
if (!mixed.equals(wanted)) process.exitCode = 1;
