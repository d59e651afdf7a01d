/**
 * MB a second of `shardsieve reshard` and of DataComp's resharder.py: the same shards and subset, fresh processes,
 * alternating, order reversed each round. Medians, and the largest peak memory of one process.
 *
 *   npm run build && node tools/bench/reshard.ts --python PYTHON --datacomp CHECKOUT [--shards 4] [--samples 2000] [--keep 0.3] [--rounds 3]
 *
 * The pool is made anew, seeded: JPEG-sized members of 40 KB (their content is never looked at), captions, and
 * img2dataset's JSON. PYTHON needs webdataset 0.2.48, pysimdjson, img2dataset, opencv, cloudpathlib, pyarrow. MB are
 * those of the input, 10^6 bytes. Two clocks: the whole process, start-up included, and from the first sample on (what
 * the reference prints as its own time; for Shardsieve, `seconds` of --json). Shards lie in the page cache.
 */
import { $, argv, fs, os, path } from 'zx';
import { openFolder } from '../../cli/io/folder.ts';
import { TarWriter } from '../../src/tar/writer.ts';
import { writeSubset } from '../../src/uids/npy.ts';
import { parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';

$.verbose = false;

interface Round {
  whole: number;
  inner: number;
  /** Processor seconds of the whole process, user and system, which the load of the machine disturbs less. */
  cpu: number;
  peakMb: number;
  written: number;
}

const python = String(argv['python'] ?? 'python3');
const datacomp = String(argv['datacomp'] ?? '');
const shards = Number(argv['shards'] ?? 4);
const samples = Number(argv['samples'] ?? 2000);
const keep = Number(argv['keep'] ?? 0.3);
const rounds = Number(argv['rounds'] ?? 3);
const scratch = await fs.mkdtemp(path.join(String(argv['tmp'] ?? os.tmpdir()), 'shardsieve-bench-'));
const pool = path.join(scratch, 'pool');
const subset = path.join(scratch, 'subset.npy');

/** Mulberry32: small, seeded, good enough for bytes that nobody decodes. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function makePool(): Promise<number> {
  const folder = openFolder(pool);
  const next = random(7);
  const noise = new Uint8Array(1 << 20).map(() => next() * 256);
  const kept: string[] = [];
  let total = 0;
  for (let shard = 0; shard < shards; shard++) {
    const name = String(shard).padStart(8, '0');
    const sink = await folder.create(`${name}.tar`);
    const tar = new TarWriter(sink);
    for (let i = 0; i < samples; i++) {
      const key = `${name}${String(i).padStart(5, '0')}`;
      const uid = Array.from({ length: 32 }, () => Math.floor(next() * 16).toString(16)).join('');
      const at = Math.floor(next() * (noise.length - 80_000));
      const jpg = noise.subarray(at, at + 20_000 + Math.floor(next() * 40_000));
      const caption = `A photograph of number ${i}, as found beside it on a page of the web`;
      const json = {
        uid,
        key,
        caption,
        url: `https://example.org/pictures/${key}.jpg`,
        ...about(jpg.length),
      };
      await tar.add(`${key}.jpg`, jpg);
      await tar.add(`${key}.json`, new TextEncoder().encode(JSON.stringify(json)));
      await tar.add(`${key}.txt`, new TextEncoder().encode(caption));
      if (next() < keep) kept.push(uid);
    }
    await tar.finish();
    await sink.commit();
    await fs.writeJson(path.join(pool, `${name}_stats.json`), { successes: samples });
    total += tar.size;
  }
  const uids: Uids = new BigUint64Array(2 * kept.length);
  for (const [i, uid] of kept.entries()) parseUidText(uid, wordsOf(uids), i);
  await writeSubset(openFolder(scratch), 'subset.npy', uids);
  return total;
}

function about(bytes: number) {
  const size = { width: 512, height: 384, original_width: 1024, original_height: 768 };
  const exif = JSON.stringify({ 'Image Make': 'Example', 'EXIF DateTimeOriginal': '2015:06:01 12:00:00' });
  return { status: 'success', error_message: null, ...size, exif, sha256: String(bytes).padStart(64, '0') };
}

async function timed(command: readonly string[]) {
  const started = performance.now();
  const run = await $`${['/usr/bin/env', 'time', '-f', '%M %U %S', ...command]}`;
  const seconds = (performance.now() - started) / 1000;
  const [kb, user, system] = run.stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  const costs = { whole: seconds, cpu: user + system, peakMb: kb / 1024 };
  return { stdout: run.stdout, stderr: run.stderr, costs };
}

async function shardsieve(out: string): Promise<Round> {
  const files = ['--subset', subset, '--out', out];
  const run = await timed([
    process.execPath,
    'cli/shardsieve.js',
    'reshard',
    pool,
    ...files,
    '--json',
    '--quiet',
  ]);
  const { written, seconds } = JSON.parse(run.stdout) as { written: number; seconds: number };
  return { ...run.costs, inner: seconds, written };
}

async function reference(out: string, workers: number): Promise<Round> {
  await fs.mkdir(out);
  const script = path.join(datacomp, 'resharder.py');
  const run = await timed([python, script, '-i', pool, '-o', out, '-s', subset, '-j', String(workers)]);
  const inner = Number(/processed \d+ images in ([\d.]+)s/.exec(run.stderr)?.[1]);
  const written = Number(/output (\d+) images/.exec(run.stderr)?.[1]);
  return { ...run.costs, inner, written };
}

const sides: { [name: string]: (out: string) => Promise<Round> } = {
  Shardsieve: shardsieve,
  ...(datacomp === ''
    ? {}
    : {
        'resharder.py, one worker': (out: string) => reference(out, 1),
        'resharder.py, two workers': (out: string) => reference(out, 2),
      }),
};
try {
  const megabytes = (await makePool()) / 1e6;
  console.log(`${shards} shards of ${samples} samples, ${Math.round(megabytes)} MB, ${keep} kept`);
  const results = new Map<string, Round[]>(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? Object.keys(sides) : Object.keys(sides).reverse();
    for (const name of order) {
      const out = path.join(scratch, 'out');
      const result = await sides[name](out);
      await fs.rm(out, { recursive: true });
      results.get(name)!.push(result);
      console.log(
        `round ${round + 1}  ${name.padEnd(26)} ${result.whole.toFixed(2)} s, inner ${result.inner.toFixed(2)} s, processor ${result.cpu.toFixed(2)} s, ${result.written} written`,
      );
    }
  }
  const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  console.log(
    '\n| side | MB/s, whole process | MB/s, without start-up | MB a processor second | peak memory, MB |',
  );
  console.log('|---|---|---|---|---|');
  for (const [name, all] of results) {
    const rate = (of: (round: Round) => number) => Math.round(megabytes / median(all.map(of)));
    const rates = [rate(({ whole }) => whole), rate(({ inner }) => inner), rate(({ cpu }) => cpu)];
    const peak = Math.max(...all.map(({ peakMb }) => peakMb));
    console.log(`| ${[name, ...rates, Math.round(peak)].join(' | ')} |`);
  }
} finally {
  await fs.rm(scratch, { recursive: true, force: true });
}
