import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { Tokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { inputLength, preprocess } from '../../src/image/preprocess.ts';
import type { PreprocessConfig } from '../../src/image/preprocess-config.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { ImageDecoder } from '../../src/image/types.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';

/** What one sample becomes before the towers: small enough to compare across runtimes, and nothing left out. */
export interface Described {
  key: string;
  uid: string;
  format: string;
  /** SHA-256 of the decoded RGB bytes, and of the float32 `[3, S, S]` that the image tower is given. */
  pixels: string;
  input: string;
  ids: number[];
}

/** Runs tar → samples → decode → preprocess and the tokenizer over a shard. */
export async function describeShard(
  stream: AsyncIterable<Uint8Array>,
  parts: { shard: string; decoder: ImageDecoder; tokenizer: Tokenizer; preprocess: PreprocessConfig },
): Promise<Described[]> {
  const { shard, decoder, tokenizer } = parts;
  const described: Described[] = [];
  for await (const sample of readSamples(stream, { shard })) {
    const pair = toPair(sample, { shardBase: shard });
    const header = sniff(pair.image);
    const picture = await decoder.decode(pair.image, header);
    const input = new Float32Array(inputLength(parts.preprocess));
    preprocess(picture, parts.preprocess, input);
    described.push({
      key: pair.key,
      uid: pair.uid,
      format: header.format,
      pixels: bytesToHex(sha256(picture.data)),
      input: bytesToHex(sha256(new Uint8Array(input.buffer))),
      ids: [...tokenizer.encode(pair.caption).ids],
    });
  }
  return described;
}
