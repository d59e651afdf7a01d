/**
 * Rows a second of `shardsieve select` and of DataComp's own steps (tools/bench/select_reference.py), in fresh
 * processes, alternating, over the same metadata; the subsets are compared byte by byte.
 *
 *   node tools/bench/select.ts METADATA --datacomp CHECKOUT [--python PATH] [--cases clip_score,basic_filter,where]
 *     [--rounds 3] [--ours-only]
 *
 * METADATA comes from tools/bench/make_metadata.ts. Ours is the package as published, so `npm run build` comes first.
 * Our seconds are the whole process, its start included; Python's begin after its imports. Both sides have read the files once before the clock starts. Processor seconds and peak
 * memory are of the process and its children, as GNU time sees them (of Python: the largest process).
 */
import { $, argv, fs, os, path } from 'zx';

$.verbose = false;

interface Round {
  seconds: number;
  cpu: number;
  peakMb: number;
  sha256: string;
}

const WHERE = "lang_fasttext = 'en' AND least(original_width, original_height) >= 200";
const SCORE = ['--fraction', '0.3', '--column', 'clip_l14_similarity_score'];
const CASES: { [name: string]: string[] } = {
  clip_score: SCORE,
  basic_filter: ['--preset', 'basic_filter'],
  where: ['--where', WHERE, ...SCORE],
};

const [metadata] = argv._;
if (metadata === undefined) throw new Error('usage: node tools/bench/select.ts METADATA --datacomp CHECKOUT');
const python = String(argv['python'] ?? 'python3');
const rounds = Number(argv['rounds'] ?? 3);
const cases = String(argv['cases'] ?? Object.keys(CASES).join()).split(',');
const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'shardsieve-bench-'));
const out = path.join(scratch, 'subset.npy');

/** Runs a command under GNU time: wall seconds, processor seconds, peak memory. */
async function timed(
  command: string[],
): Promise<{ stdout: string; seconds: number; cpu: number; peakMb: number }> {
  const run = await $`/usr/bin/env time -f ${'%e %U %S %M'} ${command}`;
  const [seconds, user, system, kilobytes] = run.stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return { stdout: run.stdout, seconds, cpu: user + system, peakMb: kilobytes / 1024 };
}

const sha256 = async (file: string) => (await $`sha256sum ${file}`).stdout.slice(0, 64);

async function ours(name: string): Promise<Round & { rows: number }> {
  const command = [
    process.execPath,
    'cli/shardsieve.js',
    'select',
    metadata,
    ...CASES[name],
    '--multiset',
    '--json',
    '--quiet',
  ];
  const { stdout, ...spent } = await timed([...command, '--out', out]);
  const summary = JSON.parse(stdout) as { steps: { before: number }[] };
  return { ...spent, sha256: await sha256(out), rows: summary.steps[0].before };
}

async function reference(name: string): Promise<Round> {
  const script = ['tools/bench/select_reference.py', String(argv['datacomp']), metadata, out, name];
  const { stdout, ...spent } = await timed([python, ...script]);
  const { seconds } = JSON.parse(stdout.trim().split('\n').at(-1)!) as { seconds: number };
  return { ...spent, seconds, sha256: await sha256(out) };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const table: string[] = [];
const files: string[] = (await fs.readdir(metadata)).map((file: string) => path.join(metadata, file));
await $`cat ${files} > /dev/null`;
for (const name of cases) {
  const results: { [side: string]: Round[] } = { Shardsieve: [], DataComp: [] };
  let rows = 0;
  for (let round = 0; round < rounds; round++) {
    const sides = argv['ours-only'] ? ['Shardsieve'] : ['Shardsieve', 'DataComp'];
    for (const side of round % 2 === 0 ? sides : sides.reverse()) {
      if (side === 'Shardsieve') {
        const { rows: read, ...result } = await ours(name);
        rows = read;
        results[side].push(result);
      } else results[side].push(await reference(name));
      const { seconds, cpu, peakMb } = results[side].at(-1)!;
      console.log(
        `${name} ${side}: ${seconds.toFixed(2)} s, ${cpu.toFixed(2)} processor s, ${Math.round(peakMb)} MB`,
      );
    }
  }
  const hashes = new Set(Object.values(results).flatMap((all) => all.map((result) => result.sha256)));
  if (hashes.size !== 1) throw new Error(`${name}: the subsets differ`);
  const [base] = [
    results['DataComp'].length > 0 ? median(results['DataComp'].map(({ seconds }) => seconds)) : Number.NaN,
  ];
  for (const [side, all] of Object.entries(results)) {
    if (all.length === 0) continue;
    const seconds = median(all.map((result) => result.seconds));
    const cpu = median(all.map((result) => result.cpu));
    const peak = Math.max(...all.map(({ peakMb }) => peakMb));
    const ratio = Number.isNaN(base) ? '' : (base / seconds).toFixed(1);
    table.push(
      `| ${name} | ${side} | ${(rows / 1e6).toFixed(1)} | ${seconds.toFixed(2)} | ${(rows / seconds / 1e6).toFixed(2)} | ${ratio} | ${cpu.toFixed(1)} | ${Math.round(peak)} |`,
    );
  }
}
console.log(
  '\n| case | side | million rows | s, median | million rows/s | times DataComp | processor s | peak MB |',
);
console.log('|---|---|---|---|---|---|---|---|');
for (const line of table) console.log(line);
await fs.rm(scratch, { recursive: true, force: true });
