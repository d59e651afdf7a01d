/**
 * Pairs a second of scoring, tar to metadata, in fresh processes, alternating, on the same shards, weights and cores;
 * the order is reversed every round. Loading the model is apart on every side; Shardsieve's time has writing metadata and
 * embeddings in it, Python's ends with the last score. The GEMM ceiling is measured in every round too.
 */
import { join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { fs } from 'zx';
import { fileSource } from '../../cli/io/file.ts';
import { loadMerges } from '../../cli/vocab.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { gflopOf } from './flops.ts';
import { type Outcome, runJson } from './processes.ts';
import type { Bench } from './setup.ts';
import { markdown, median, short } from './tables.ts';

interface Said {
  pairs: number;
  seconds: number;
  load_seconds: number;
  cpu_seconds: number;
}

interface Side {
  name: string;
  /** By which ceiling its share is told. */
  ceiling?: 'fp32' | 'int8';
  run(round: number): Promise<Outcome<Said>>;
}

type Ceiling = { fp32: number; int8: number };

export async function endToEnd(bench: Bench): Promise<unknown> {
  const out = join(bench.work, 'out');
  await fs.emptyDir(out);
  const only = bench.only?.split(',');
  const sides = sidesOf(bench, out).filter(({ name }) => only?.includes(name) ?? true);
  const tokens = await meanTokens(bench.shardPaths);
  const gflop = await gflopOf(bench.modelFolder, tokens);
  await warmUp(bench, out, sides);

  const outcomes = new Map<string, Outcome<Said>[]>(sides.map(({ name }) => [name, []]));
  const ceilings: Ceiling[] = [];
  const failures: string[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    ceilings.push((await runJson<Ceiling>(process.execPath, ['tools/bench/gemm.ts'], bench.env)).said);
    for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
      try {
        const outcome = await side.run(round);
        outcomes.get(side.name)?.push(outcome);
        const speed = (outcome.said.pairs / outcome.said.seconds).toFixed(1);
        console.error(`round ${round + 1}  ${side.name.padEnd(24)} ${speed} pairs/s`);
      } catch (error) {
        failures.push(`${side.name}, round ${round + 1}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  const ceiling = {
    fp32: Math.max(...ceilings.map(({ fp32 }) => fp32)),
    int8: Math.max(...ceilings.map(({ int8 }) => int8)),
  };
  const speeds = new Map(
    [...outcomes].map(([name, all]) => [name, all.map(({ said }) => said.pairs / said.seconds)]),
  );
  const medianOf = (name: string) => {
    const all = speeds.get(name) ?? [];
    return all.length === 0 ? undefined : median(all);
  };
  const ratio = (a: number | undefined, b: number | undefined) =>
    a === undefined || b === undefined ? undefined : short(a / b);
  const rows = sides.map(({ name, ceiling: kind }) => {
    const all = outcomes.get(name) ?? [];
    const speed = medianOf(name);
    const peaks = all.flatMap(({ peakMb }) => peakMb ?? []);
    const share = speed && kind && (speed * (gflop.image + gflop.caption)) / ceiling[kind];
    return [
      name,
      short(speed),
      speeds.get(name)?.map(short).join(', '),
      ratio(speed, medianOf('Python fp32')),
      ratio(speed, medianOf('Python bf16')),
      all.length === 0 ? undefined : short(median(all.map(({ said }) => said.cpu_seconds / said.pairs))),
      all.length === 0 ? undefined : short(median(all.map(({ wallSeconds }) => wallSeconds))),
      peaks.length === 0 ? undefined : Math.round(Math.max(...peaks)),
      share && `${Math.round(100 * share)}%`,
    ];
  });
  console.log(markdown(HEAD, rows));
  console.log(
    `\nGEMM ceiling, best of ${ceilings.length}: fp32 ${ceiling.fp32} GFLOP/s, int8 ${ceiling.int8} GOP/s; ` +
      `a pair is ${gflop.image.toFixed(1)} + ${gflop.caption.toFixed(1)} GFLOP (captions of ${tokens.toFixed(1)} tokens in the mean)`,
  );
  const difference = await largestDifference(out);
  if (difference !== undefined)
    console.log(
      `largest difference of a score between Shardsieve fp32 and Python fp32: ${difference.toExponential(1)}`,
    );
  for (const failure of failures) console.log(`FAILED ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
  return { outcomes: Object.fromEntries(outcomes), ceilings, gflop, tokens, difference, failures };
}

const HEAD = [
  'side',
  'pairs/s, median',
  'rounds',
  '× Python fp32',
  '× Python bf16',
  'processor s a pair',
  'whole command, s',
  'peak memory, MB',
  'share of GEMM ceiling',
];

function sidesOf({ modelFolder, shardPaths, python, env }: Bench, out: string): Side[] {
  const shardsieve = (precision: string) => (round: number) =>
    runJson<Said>(
      process.execPath,
      ['tools/bench/score_run.ts', modelFolder, precision, join(out, `${precision}-${round}`), ...shardPaths],
      env,
    );
  const reference = (precision: string) => (_: number) =>
    runJson<Said>(
      python.path,
      [
        'tools/bench/python_loop.py',
        modelFolder,
        ...shardPaths,
        ...['--precision', precision, '--scores', join(out, `python-${precision}.json`)],
      ],
      env,
    );
  return [
    { name: 'Shardsieve fp32', ceiling: 'fp32', run: shardsieve('fp32') },
    { name: 'Shardsieve int8', ceiling: 'int8', run: shardsieve('int8') },
    { name: 'Shardsieve int8-accurate', ceiling: 'int8', run: shardsieve('int8-accurate') },
    { name: 'Python fp32', ceiling: 'fp32', run: reference('fp32') },
    { name: 'Python bf16', run: reference('bf16') },
  ];
}

/** Quantises where that is needed, and brings weights and shards into the page cache. */
async function warmUp({ modelFolder, shardPaths, env }: Bench, out: string, sides: readonly Side[]) {
  for (const precision of ['int8', 'int8-accurate']) {
    if (!sides.some(({ name }) => name.endsWith(` ${precision}`))) continue;
    const args = ['score', shardPaths[0], '--limit', '1', '--precision', precision, '--json', '--quiet'];
    const started = performance.now();
    await runJson(
      process.execPath,
      [
        'cli/main.ts',
        ...args,
        '--model',
        `local-dir:${modelFolder}`,
        '--out',
        join(out, `warm-${precision}`),
      ],
      env,
    );
    const seconds = Math.round((performance.now() - started) / 1000);
    console.error(`${precision}: ready after ${seconds} s, quantising included where it was not done before`);
  }
  for (const shard of shardPaths) for await (const _ of fileSource(shard).stream({}));
}

async function meanTokens(shards: readonly string[]): Promise<number> {
  const tokenizer = createTokenizer(await loadMerges());
  let tokens = 0;
  let captions = 0;
  for (const shard of shards) {
    for await (const raw of readSamples(fileSource(shard).stream({}), { shard })) {
      tokens += tokenizer.encode(toPair(raw, { shardBase: 'bench' }).caption).ids.length;
      captions++;
    }
  }
  return tokens / captions;
}

/** Of what both sides scored; undefined where one did not run. Rows stand in the shards' order on both. */
async function largestDifference(out: string): Promise<number | undefined> {
  const file = join(out, 'python-fp32.json');
  const folder = join(out, 'fp32-0');
  if (!(await fs.pathExists(file)) || !(await fs.pathExists(folder))) return undefined;
  const theirs: { keys: string[]; scores: number[] } = await fs.readJson(file);
  const byKey = new Map(theirs.keys.map((key, i) => [key, theirs.scores[i]]));
  let largest = 0;
  for (const name of (await fs.readdir(folder)).filter((name: string) => name.endsWith('.parquet'))) {
    const { buffer, byteOffset, byteLength } = await fs.readFile(join(folder, name));
    const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
    for (const row of await parquetReadObjects({ file: bytes as ArrayBuffer })) {
      const score = byKey.get(String(row['key']));
      if (score === undefined) throw new Error(`Python scored no sample ${row['key']}`);
      largest = Math.max(largest, Math.abs(Number(row['clip_bench_similarity_score']) - score));
    }
  }
  return largest;
}
