/**
 * What each stage of scoring does alone, and how much of the slowest one's rate the pipeline reaches, in one process:
 *
 *   node tools/bench/pipeline-rate.ts [--model demo|tiny|MODEL] [--precision int8] [--side 256] [--samples 512]
 *                                     [--shards PATTERN]
 *
 * `tiny` (default) is a seeded model whose towers cost next to nothing. Without `--shards`, seeded JPEGs of `--side`.
 * Rates are wall-clock; `cpu` is processor milliseconds a sample, all threads together, which another's load moves less.
 * `bound` is what the machine's cores would carry if they did every stage's work without a gap.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { openShards } from '../../cli/jobs/shards.ts';
import { preprocessBytes } from '../../src/image/preprocess.ts';
import { sniff } from '../../src/image/sniff.ts';
import { memorySource } from '../../src/io/memory.ts';
import { mapAhead } from '../../src/score/ahead.ts';
import { scoreShard } from '../../src/score/shard.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { type RawSample, readSamples } from '../../src/webdataset/samples.ts';
import { makeTinyModel, makeTinyPool } from './tiny.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'tiny' },
    precision: { type: 'string', default: 'fp32' },
    side: { type: 'string', default: '256' },
    samples: { type: 'string', default: '512' },
    shards: { type: 'string' },
  },
});

interface Rate {
  stage: string;
  perSecond: number;
  /** Processor milliseconds a sample. */
  cpu: number;
}

async function rate(stage: string, count: number, work: () => Promise<unknown>): Promise<Rate> {
  const used = process.cpuUsage();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(used);
  return { stage, perSecond: count / seconds, cpu: (user + system) / 1e3 / count };
}

const root = await mkdtemp(join(tmpdir(), 'shardsieve-rate-'));
try {
  const model = values.model === 'tiny' ? `local-dir:${join(root, 'model')}` : values.model;
  if (values.model === 'tiny') await makeTinyModel(join(root, 'model'), 256);
  const pool = { shards: 1, samples: Number(values.samples), side: Number(values.side) };
  const patterns =
    values.shards === undefined ? await makeTinyPool(join(root, 'pool'), pool) : [values.shards];
  const inputs = await openShards({ shards: patterns });
  const bytes = await Promise.all(
    inputs.map(async ({ source }) => {
      const parts: Uint8Array[] = [];
      for await (const part of source.stream()) parts.push(part);
      return Buffer.concat(parts);
    }),
  );
  const precision = values.precision as 'fp32';
  const [wanted] = await wantModels({ models: [model], precision });
  const { clip, tokenizer, preprocess, slug } = await wanted.load();
  const decoder = createDecoder();
  const pair = { caption: 'txt', uid: 'json', carry: [] };

  const raws: RawSample[] = [];
  const read = await rate('read', 1, async () => {
    for (const [i, shard] of bytes.entries()) {
      const chunks = memorySource('shard', shard, 1 << 20).stream();
      for await (const raw of readSamples(chunks, { shard: inputs[i].shard })) raws.push(raw);
    }
  });
  const n = raws.length;
  const pairs = raws.map((raw) => toPair(raw, { ...pair, shardBase: 'shard' }));
  const ids = pairs.map(({ caption }) => tokenizer.encode(caption).ids);
  const pictures: Uint8Array[] = [];
  async function* images() {
    for (const { image } of pairs) yield image;
  }
  const decoding = (isKept: boolean) => async () => {
    const decoded = mapAhead(images(), decoder.lanes ?? 1, async (image) =>
      preprocessBytes(await decoder.decode(image, sniff(image)), preprocess),
    );
    for await (const picture of decoded) if (isKept) pictures.push(picture);
  };
  await decoding(true)();
  await clip.embedPictures(pictures.slice(0, 32));
  await clip.embedTexts(ids.slice(0, 64));
  const rates = [
    { ...read, perSecond: read.perSecond * n, cpu: read.cpu / n },
    await rate('tokenise', n, async () => pairs.map(({ caption }) => tokenizer.encode(caption))),
    await rate('decode, resize', n, decoding(false)),
    await rate('pictures', n, () => clip.embedPictures(pictures)),
    await rate('captions', n, () => clip.embedTexts(ids)),
  ];
  const towers = rates.slice(-2).reduce((seconds, { perSecond }) => seconds + 1 / perSecond, 0);
  const whole = await rate('pipeline', n, async () => {
    for (const [i, shard] of bytes.entries()) {
      const source = memorySource('shard', shard, 1 << 20);
      const models = [{ slug, preprocess, tokenizer, clip }];
      const options = {
        shard: inputs[i].shard,
        models,
        decoder,
        fit: 'open_clip',
        pair,
        embeddings: true,
      } as const;
      const { counts } = await scoreShard(source, options);
      if (counts.scored === 0) throw new Error('nothing was scored');
    }
  });
  await clip.release();
  for (const { stage, perSecond, cpu } of [...rates, whole]) {
    console.log(
      `${stage.padEnd(16)} ${perSecond.toFixed(1).padStart(10)} /s  ${cpu.toFixed(2).padStart(8)} ms cpu`,
    );
  }
  const [decode] = rates.filter(({ stage }) => stage.startsWith('decode'));
  const slowest = Math.min(1 / towers, decode.perSecond);
  const bound = (1000 * availableParallelism()) / rates.reduce((sum, { cpu }) => sum + cpu, 0);
  const percent = (part: number, all: number): string => `${Math.round((100 * part) / all)}%`;
  console.log(
    `towers ${(1 / towers).toFixed(1)} /s; pipeline: ${percent(whole.perSecond, slowest)} of its slowest stage, ${percent(whole.perSecond, bound)} of the bound of ${bound.toFixed(1)} /s`,
  );
} finally {
  await rm(root, { recursive: true });
}
const [load] = loadavg();
console.log(`load of the machine in this minute: ${load.toFixed(1)}`);
