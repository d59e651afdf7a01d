/**
 * What running cheap filters before decoding saves: `shardsieve filter` with its plan and with `--full-metadata`, alternating,
 * in fresh processes, on one pool; the subsets must be the same bytes.
 *
 *   node tools/bench/plan.ts MODEL_DIR SHARD... [--rounds 3] [--precision fp32]
 *
 * The pool is made anew of the pictures of the shards given, seeded: of a hundred samples 34 have captions in German, 17
 * captions of one or two words, 20 sizes that basic_filter drops, each drawn apart; 8 repeat an earlier caption and 4 an
 * earlier picture of their shard. These shares are set, not found: what a pool of yours saves is what --explain prints.
 */
import { $, argv, fs, os, path } from 'zx';
import { fileSource } from '../../cli/io/file.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { TarWriter } from '../../src/tar/writer.ts';
import { pictureOf } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';

$.verbose = false;
const [model, ...shards] = argv._;
if (model === undefined || shards.length === 0)
  throw new Error('usage: node tools/bench/plan.ts MODEL_DIR SHARD...');
const rounds = Number(argv['rounds'] ?? 3);
const precision = String(argv['precision'] ?? 'fp32');
const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'shardsieve-plan-'));
const pool = path.join(scratch, 'pool');

/** Mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NOUNS = [
  'dog',
  'harbour',
  'red chair',
  'mountain lake',
  'kitchen table',
  'old bicycle',
  'market',
  'lighthouse',
];
const GERMAN = ['Hund im Garten', 'Hafen am Abend', 'rote Stühle vor dem Haus', 'Markt in der alten Stadt'];

async function makePool(): Promise<number> {
  const next = random(1);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)];
  let count = 0;
  await fs.mkdir(pool);
  for (const [s, shard] of shards.entries()) {
    const sink = await openFolder(pool).create(`${String(s).padStart(5, '0')}.tar`);
    const tar = new TarWriter(sink);
    const [captions, pictures]: [string[], Uint8Array[]] = [[], []];
    for await (const sample of readSamples(fileSource(shard).stream(), { shard })) {
      const key = String(count).padStart(9, '0');
      const fresh =
        next() < 0.34
          ? `${pick(GERMAN)} mit Blick auf das Wasser und die Berge, Bild ${count}`
          : next() < 0.26
            ? `${pick(NOUNS).split(' ')[0]} ${count}`
            : `a photograph of a ${pick(NOUNS)} beside a ${pick(NOUNS)} on a sunny afternoon, number ${count}`;
      const caption = captions.length > 0 && next() < 0.08 ? pick(captions) : fresh;
      const picture = pictures.length > 0 && next() < 0.04 ? pick(pictures) : pictureOf(sample);
      captions.push(caption);
      pictures.push(picture);
      const side = next() < 0.2 ? 120 : 640;
      const uid = count.toString(16).padStart(32, '0');
      const json = { uid, original_width: side, original_height: 480 };
      await tar.add(`${key}.jpg`, picture);
      await tar.add(`${key}.json`, new TextEncoder().encode(JSON.stringify(json)));
      await tar.add(`${key}.txt`, new TextEncoder().encode(caption));
      count++;
    }
    await tar.finish();
    await sink.commit();
  }
  return count;
}

const samples = await makePool();
const filters = ['--preset', 'basic_filter', '--filter', '{score: {fraction: 0.5, of: rest}}', '--explain'];
const seconds: { [side: string]: number[] } = { plan: [], full: [] };
/** User and system time: what another's load disturbs least. */
const processor: { [side: string]: number[] } = { plan: [], full: [] };
let explained = '';
for (let round = 0; round < rounds; round++) {
  for (const side of round % 2 === 0 ? ['plan', 'full'] : ['full', 'plan']) {
    const out = path.join(scratch, `${side}-${round}`);
    const whole = side === 'full' ? ['--full-metadata'] : [];
    const started = performance.now();
    const run =
      await $`/usr/bin/env time -f '%U %S' node cli/main.ts filter ${pool} --model local-dir:${model} --slug bench --precision ${precision} ${filters} ${whole} --out ${out} --quiet`;
    seconds[side].push((performance.now() - started) / 1000);
    const times = run.stderr.trim().split('\n').at(-1)!.split(' ');
    processor[side].push(Number(times[0]) + Number(times[1]));
    if (side === 'plan') explained = run.stdout;
  }
  const bytes = await Promise.all(
    ['plan', 'full'].map((side) => fs.readFile(path.join(scratch, `${side}-${round}`, 'subset.npy'))),
  );
  if (!bytes[0].equals(bytes[1])) throw new Error('the subsets differ');
}
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
console.log(explained.split('\n').slice(0, 16).join('\n'));
console.log(`${samples} samples, ${precision}, ${rounds} rounds, subsets the same bytes in each`);
for (const [kind, times] of Object.entries({ seconds, 'processor seconds': processor })) {
  const [plan, full] = [median(times['plan']), median(times['full'])];
  const all = JSON.stringify(times);
  console.log(
    `${kind}: with the plan ${plan.toFixed(1)}, all scored ${full.toFixed(1)}, ${(full / plan).toFixed(2)} times; ${all}`,
  );
}
await fs.remove(scratch);
