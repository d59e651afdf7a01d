/** What becomes of a sample before the towers: its pair, its tokens, its picture as each model wants it. */
import { SampleError } from '../errors.ts';
import { preprocessBytes } from '../image/preprocess.ts';
import { sniff } from '../image/sniff.ts';
import type { Row, Skipped } from '../metadata/table.ts';
import { type Pair, toPair, uidIfKnown } from '../webdataset/pair.ts';
import type { RawSample } from '../webdataset/samples.ts';
import type { Budget } from './ahead.ts';
import type { Look } from './judge.ts';
import type { ScoreShardOptions } from './shard.ts';

/** Pixels decoded and not yet resized at any time: 64 MP of RGB are 192 MB. A larger picture waits and runs alone. */
export const DECODED_PIXELS = 64e6;

/** A sample that the towers can take: RGB bytes and tokens for each model, looks for each judge. */
export interface Scorable {
  row: Row;
  pictures: Uint8Array[];
  tokens: Int32Array[];
  /** By model: whether the caption was longer than its context. */
  truncated: boolean[];
  looks: (Look | undefined)[];
}

/** A sample on its way to the towers, or the reason it stops here. */
export type Prepared = { ready: Scorable } | { skip: Skipped } | { passedOver: true };

/** `budget`: pixels that may be decoded and not yet resized. Throws what is not the sample's own fault. */
export async function prepare(raw: RawSample, options: ScoreShardOptions, budget: Budget): Promise<Prepared> {
  if (options.draw !== undefined && !options.draw(raw.key)) return { passedOver: true };
  const pairing = { ...options.pair, shardBase: options.shard };
  try {
    const pair = toPair(raw, pairing);
    const { models, decoder, judges = [] } = options;
    const encoded = models.map((model) => model.tokenizer.encode(pair.caption));
    const header = sniff(pair.image);
    const seen = await budget.use(header.width * header.height, async () => {
      const picture = await decoder.decode(pair.image, header, { fit: options.fit });
      return {
        pictures: models.map((model) => preprocessBytes(picture, model.preprocess)),
        looks: judges.map((judge) => judge.look({ bytes: pair.image, pixels: picture })),
      };
    });
    return {
      ready: {
        row: rowOf(pair, header.width, header.height),
        tokens: encoded.map((text) => text.ids),
        truncated: encoded.map((text) => text.truncated),
        ...seen,
      },
    };
  } catch (error) {
    if (!(error instanceof SampleError)) throw error;
    const uid = uidIfKnown(raw, pairing);
    return {
      skip: {
        key: raw.key,
        ...(uid === undefined ? {} : { uid }),
        reason: error.reason,
        detail: error.message,
      },
    };
  }
}

/** `width`, `height`: the picture's own, for where the JSON says none. */
function rowOf(pair: Pair, width: number, height: number): Row {
  return {
    uid: pair.uid,
    key: pair.key,
    url: pair.url,
    text: pair.caption,
    original_width: pair.originalWidth ?? width,
    original_height: pair.originalHeight ?? height,
    sha256: pair.sha256,
    face_bboxes: pair.faceBboxes,
    carried: pair.carried,
  };
}
