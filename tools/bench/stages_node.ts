/**
 * Shardsieve's side of stages.ts: node stages_node.ts MODEL_DIR SHARD… One JSON line; the same measures as
 * stages_python.py, which says what they are.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

const SECONDS = 2;
const ROWS = 10_000;
const DIM = 512;

type Clock = () => number;
const wall: Clock = () => performance.now() / 1000;
const processor: Clock = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** The shortest of the passes that fit into the time, three at the least. */
async function best(run: () => unknown, clock: Clock = processor): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  const begin = wall();
  for (let passes = 0; passes < 3 || wall() - begin < SECONDS; passes++) {
    const start = clock();
    await run();
    least = Math.min(least, clock() - start);
  }
  return least;
}

const [modelFolder, ...shards] = process.argv.slice(2);
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
    (await best(async () => {
      for (const shard of [...shards, ...shards, ...shards, ...shards])
        for await (const _ of readSamples(fileSource(shard).stream({}), { shard }));
    }, wall)),
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
    captions.length /
    (await best(() => {
      for (const caption of captions) tokenizer.encode(caption);
    })),
  write: ROWS / (await written()),
  towers: {} as { [precision: string]: unknown },
};

const inputs = decoded.slice(0, 32).map((picture) => preprocessBytes(picture, fp32.preprocess));
const ids = captions.slice(0, 64).map((caption) => tokenizer.encode(caption).ids);
for (const precision of ['fp32', 'int8', 'int8-accurate'] as const) {
  const { clip } = precision === 'fp32' ? fp32 : await model(precision);
  const both = async (n: number, run: () => unknown) => ({
    wall: n / (await best(run, wall)),
    cpu: (await best(run)) / n,
  });
  said.towers[precision] = {
    image: await both(inputs.length, () => clip.embedPictures(inputs)),
    caption: await both(ids.length, () => clip.embedTexts(ids)),
  };
  await clip.release();
}
process.stdout.write(`${JSON.stringify(said)}\n`);

/** Seconds of committing a shard of rows with embeddings, flushed to the disk. */
async function written(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'shardsieve-bench-'));
  const output = makeOutput(ROWS, ['bench']);
  output.table.clips = [makeClip('bench', ROWS, DIM)];
  let i = 0;
  try {
    return await best(() => commitShard(openFolder(folder), `${i++}`, output), wall);
  } finally {
    await rm(folder, { recursive: true });
  }
}
