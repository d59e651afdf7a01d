import { join } from 'node:path';
import { cosine } from '../../src/clip/model.ts';
import { ModelError } from '../../src/errors.ts';
import { preprocessBytes } from '../../src/image/preprocess.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import { type Pair, toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { createDecoder } from '../decode/decoder.ts';
import { fileSource } from '../io/file.ts';
import { packageRoot } from '../package-root.ts';

export interface SelfTest {
  captions: string[];
  /** Cosine of each built-in picture (row) with each caption (column). */
  cosines: number[][];
  /** Each picture is nearest to its own caption. */
  ok: boolean;
  logitScale: number;
}

/** Two drawings that ship with the package, in words that any trained CLIP tells apart. */
const SHARD = 'demo-00000';
const CAPTIONS = new Map([
  ['000000057', 'clip art of a black dog'],
  ['000000075', 'clip art of a strawberry, a fruit'],
]);

/** Loads a model and scores two built-in pictures with their captions: a wrong or half-loaded model shows at once. */
export async function selfTest(wanted: WantedModel): Promise<SelfTest> {
  const pairs = await builtInPairs();
  const model = await wanted.load();
  try {
    const { clip, tokenizer } = model;
    const decoder = createDecoder();
    const pictures: Uint8Array[] = [];
    for (const { image } of pairs) {
      pictures.push(preprocessBytes(await decoder.decode(image, sniff(image)), model.preprocess));
    }
    const images = await clip.embedPictures(pictures);
    const texts = await clip.embedTexts(pairs.map(({ caption }) => tokenizer.encode(caption).ids));
    const cosines = pairs.map((_, i) => pairs.map((_, j) => cosine(images, i, texts, j, clip.dim)));
    return {
      captions: pairs.map(({ caption }) => caption),
      cosines,
      ok: cosines.every((row, i) => row.every((value, j) => i === j || value < row[i])),
      logitScale: clip.logitScale,
    };
  } finally {
    await model.clip.release();
  }
}

async function builtInPairs(): Promise<Pair[]> {
  const path = join(packageRoot(), 'demo', 'shards', `${SHARD}.tar`);
  const pairs: Pair[] = [];
  for await (const sample of readSamples(fileSource(path).stream(), { shard: SHARD })) {
    const caption = CAPTIONS.get(sample.key);
    if (caption !== undefined) pairs.push({ ...toPair(sample, { shardBase: SHARD }), caption });
    if (pairs.length === CAPTIONS.size) return pairs;
  }
  throw new ModelError('the built-in pictures are not there', { file: path, hint: 'Reinstall shardsieve' });
}
