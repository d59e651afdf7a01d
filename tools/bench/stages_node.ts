/**
 * Shardsieve's side of stages.ts: node stages_node.ts MODEL_DIR SHARD… One JSON line; the same measures as
 * stages_python.py, which says what they are.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { fileSource } from '../../cli/io/file.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { loadMerges } from '../../cli/vocab.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { normalise, preprocessBytes } from '../../src/image/preprocess.ts';
import { sniff } from '../../src/image/sniff.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { makeClip, makeOutput } from '../../test/helpers/tables.ts';

const ROWS = 10_000;
const DIM = 512;
const CAPTIONS = 5_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '2' } },
});
const [modelFolder, ...shards] = positionals;

/** Seconds of the shortest of the passes that fit into the time, three at the least. */
async function least(run: () => unknown): Promise<{ wall: number; cpu: number }> {
  let [wall, cpu] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const begin = performance.now();
  for (let passes = 0; passes < 3 || performance.now() - begin < Number(values.seconds) * 1000; passes++) {
    const start = performance.now();
    const used = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(used);
    wall = Math.min(wall, (performance.now() - start) / 1000);
    cpu = Math.min(cpu, (user + system) / 1e6);
  }
  return { wall, cpu };
}

const best = async (run: () => unknown) => (await least(run)).cpu;

const pictures: Uint8Array[] = [];
const captions: string[] = [];
let bytes = 0;
for (const shard of shards) {
  bytes += (await stat(shard)).size;
  for await (const raw of readSamples(fileSource(shard).stream({}), { shard })) {
    const pair = toPair(raw, { shardBase: 'bench' });
    pictures.push(pair.image.slice());
    captions.push(pair.caption);
  }
}
const some = pictures.slice(0, 64);
const many = Array.from({ length: CAPTIONS }, (_, i) =>
  turned(captions[i % captions.length], Math.floor(i / captions.length)),
);
const decoder = createDecoder();
const tokenizer = createTokenizer(await loadMerges());
const model = async (precision: 'fp32' | 'int8' | 'int8-accurate') => {
  const [wanted] = await wantModels({ models: [`local-dir:${modelFolder}`], precision });
  return wanted.load();
};

const fp32 = await model('fp32');
const decoded = await Promise.all(some.map((picture) => decoder.decode(picture, sniff(picture))));
const input = new Float32Array(3 * fp32.preprocess.width * fp32.preprocess.height);
const said = {
  tar:
    (4 * bytes) /
    1e6 /
    (
      await least(async () => {
        for (const shard of [...shards, ...shards, ...shards, ...shards])
          for await (const _ of readSamples(fileSource(shard).stream({}), { shard }));
      })
    ).wall,
  decode:
    some.length /
    (await best(() => Promise.all(some.map((picture) => decoder.decode(picture, sniff(picture)))))),
  preprocess:
    some.length /
    (await best(() => {
      for (const picture of decoded)
        normalise(preprocessBytes(picture, fp32.preprocess), fp32.preprocess, input, 0);
    })),
  tokenizer:
    CAPTIONS /
    (await best(() => {
      for (const caption of many) tokenizer.encode(caption);
    })),
  write: ROWS / (await written()),
  towers: {} as { [precision: string]: unknown },
};

const inputs = decoded.slice(0, 16).map((picture) => preprocessBytes(picture, fp32.preprocess));
const ids = captions.slice(0, 32).map((caption) => tokenizer.encode(caption).ids);
for (const precision of ['fp32', 'int8', 'int8-accurate'] as const) {
  const { clip } = precision === 'fp32' ? fp32 : await model(precision);
  const both = async (n: number, run: () => unknown) => {
    const { wall, cpu } = await least(run);
    return { wall: n / wall, cpu: cpu / n };
  };
  said.towers[precision] = {
    image: await both(inputs.length, () => clip.embedPictures(inputs)),
    caption: await both(ids.length, () => clip.embedTexts(ids)),
  };
  await clip.release();
}
process.stdout.write(`${JSON.stringify(said)}\n`);

/** The same words in another order, so that no side answers from a memory of whole captions. */
function turned(caption: string, by: number): string {
  const words = caption.split(' ');
  const at = by % words.length;
  return [...words.slice(at), ...words.slice(0, at)].join(' ');
}

/** Seconds of committing a shard of rows with embeddings, flushed to the disk. */
async function written(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'shardsieve-bench-'));
  const output = makeOutput(ROWS, ['bench']);
  output.table.clips = [makeClip('bench', ROWS, DIM)];
  let i = 0;
  try {
    return (await least(() => commitShard(openFolder(folder), `${i++}`, output))).wall;
  } finally {
    await rm(folder, { recursive: true });
  }
}
