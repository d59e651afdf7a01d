/** Pictures and captions that a model is quantised by: built-in ones, or a shard's first. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { CalibrationInput } from '../../src/clip/int8/calibrate.ts';
import type { Tokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { SampleError, UsageError } from '../../src/errors.ts';
import { inputLength, preprocess } from '../../src/image/preprocess.ts';
import type { PreprocessConfig } from '../../src/image/preprocess-config.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { Fit } from '../../src/image/types.ts';
import { type Pair, toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { createDecoder } from '../decode/decoder.ts';
import { fileSource } from '../io/file.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { packageRoot } from '../package-root.ts';

/** More move the ranges little: the largest values are the model's own, in nearly every picture. */
export const CALIBRATION_PAIRS = 64;
/** Samples looked at for them: a shard whose first thousands cannot be used is the wrong one. */
const MOST_SAMPLES = 4096;

export interface CalibrationPairs {
  pairs: readonly Pair[];
  /** Hex SHA-256 over the pictures' bytes and the captions. */
  sha256: string;
}

/** The first pairs of a shard whose pictures can be decoded. Throws `UsageError` where there is none, `ShardError`. */
export async function calibrationPairs(
  shard: string | undefined,
  signal?: AbortSignal,
): Promise<CalibrationPairs> {
  const path = shard ?? join(packageRoot(), 'demo', 'shards', 'demo-00000.tar');
  const decoder = createDecoder();
  const hash = createHash('sha256');
  const pairs: Pair[] = [];
  let seen = 0;
  for await (const sample of readSamples(fileSource(path).stream({ signal }), {
    shard: path,
    gunzip: gunzipNode,
  })) {
    if (seen++ >= MOST_SAMPLES || pairs.length >= CALIBRATION_PAIRS) break;
    try {
      const pair = toPair(sample, { shardBase: 'calibration' });
      await decoder.decode(pair.image, sniff(pair.image));
      hash.update(`${pair.image.length} ${JSON.stringify(pair.caption)}\n`).update(pair.image);
      pairs.push(pair);
    } catch (error) {
      if (!(error instanceof SampleError)) throw error;
    }
  }
  if (pairs.length === 0) {
    throw new UsageError('no pair of a picture and a caption to calibrate with', {
      file: path,
      hint: 'Name a shard like those that are to be scored',
    });
  }
  return { pairs, sha256: hash.digest('hex') };
}

/** As the model sees them. */
export async function calibrationInput(
  { pairs }: CalibrationPairs,
  model: { preprocess: PreprocessConfig; tokenizer: Tokenizer; fit: Fit },
): Promise<CalibrationInput> {
  const decoder = createDecoder();
  const pixels: Float32Array[] = [];
  for (const { image } of pairs) {
    const input = new Float32Array(inputLength(model.preprocess));
    preprocess(await decoder.decode(image, sniff(image), { fit: model.fit }), model.preprocess, input);
    pixels.push(input);
  }
  return { pixels, tokens: pairs.map(({ caption }) => model.tokenizer.encode(caption).ids) };
}
