/** What becomes of a sample before the towers: its pair, its tokens, its picture as each model wants it. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { SampleError } from '../errors.ts';
import { preprocessBytes } from '../image/preprocess.ts';
import { sniff } from '../image/sniff.ts';
import type { ImageHeader } from '../image/types.ts';
import { FILTERED, type Row, type Skipped } from '../metadata/table.ts';
import { type Pair, toPair, uidIfKnown } from '../webdataset/pair.ts';
import type { RawSample } from '../webdataset/samples.ts';
import type { Budget } from './ahead.ts';
import type { Earlier } from './earlier.ts';
import type { Look } from './judge.ts';
import type { ScoreShardOptions } from './shard.ts';
import { UNWATCHED, watched } from './stages.ts';

/** Pixels decoded and not yet resized at any time: 64 MP of RGB are 192 MB. A larger picture waits and runs alone. */
export const DECODED_PIXELS = 64e6;

/** A sample that the towers can take: RGB bytes and tokens for each model, looks for each judge. */
export interface Scorable {
  row: Row;
  /** Absent where an equal picture came before it in the shard, whose embeddings are taken. */
  pictures?: Uint8Array[];
  /** Equal for equal pictures; absent where so many were met that no more are remembered. */
  same?: string;
  tokens: Int32Array[];
  /** By model: whether the caption was longer than its context. */
  truncated: boolean[];
  looks: (Look | undefined)[];
}

/** A sample on its way to the towers, or the reason it stops here. */
export type Prepared = { ready: Scorable } | { skip: Skipped } | { passedOver: true };

/** What may be on its way: pixels decoded and not yet resized, and pictures at the decoder. */
export interface Decoding {
  decoded: Budget;
  decoders: Budget;
}

/**
 * To be called in the order of the shard: what was met before is
 * noted before anything is waited for. Throws what is not the sample's own fault.
 */
export async function prepare(
  raw: RawSample,
  options: ScoreShardOptions,
  { decoded, decoders }: Decoding,
  earlier: Earlier,
): Promise<Prepared> {
  if (options.draw !== undefined && !options.draw(raw.key)) return { passedOver: true };
  const pairing = { ...options.pair, shardBase: options.shard };
  const met: { settle(isThere: boolean): void }[] = [];
  let isReady = false;
  try {
    const pair = toPair(raw, pairing);
    const header = sniff(pair.image);
    const row = rowOf(pair, header.width, header.height);
    const meeting = earlier.gate?.meet(row);
    if (meeting !== undefined) met.push(meeting);
    const { dropped: answer } = meeting ?? {};
    // What is dropped at once need not be hashed.
    const isOn = answer === undefined || answer instanceof Promise;
    const same = isOn ? digestOf(pair.image, options) : undefined;
    const picture = same === undefined ? undefined : earlier.pictures.meet(same);
    if (picture !== undefined) met.push(picture);
    const dropped = await answer;
    if (dropped !== undefined) {
      const { filter, detail } = dropped;
      return { skip: { key: raw.key, uid: row.uid, reason: FILTERED, filter, detail } };
    }
    const { models, judges = [], shard, watch = UNWATCHED } = options;
    const tokenised = watch.begin('tokenise', { shard });
    const encoded = models.map((model) => model.tokenizer.encode(pair.caption));
    tokenised();
    const isRepeat = (await picture?.before) ?? false;
    const seen =
      isRepeat && judges.length === 0
        ? { looks: [] }
        : await decoded.use(header.width * header.height, () =>
            decoders.use(1, () => look(pair.image, header, options, isRepeat)),
          );
    isReady = true;
    return {
      ready: {
        row,
        tokens: encoded.map((text) => text.ids),
        truncated: encoded.map((text) => text.truncated),
        ...(picture === undefined ? {} : { same }),
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
  } finally {
    for (const one of met) one.settle(isReady);
  }
}

/** Decodes a picture, and makes what models (unless it is a repeat) and judges want of it. */
async function look(
  bytes: Uint8Array,
  header: ImageHeader,
  { models, decoder, judges = [], fit, shard, watch = UNWATCHED }: ScoreShardOptions,
  isRepeat: boolean,
): Promise<Pick<Scorable, 'pictures' | 'looks'>> {
  const pixels = await watched(watch, 'decode', { shard }, () => decoder.decode(bytes, header, { fit }));
  const looked = watch.begin('preprocess', { shard });
  const seen = {
    ...(isRepeat ? {} : { pictures: models.map((model) => preprocessBytes(pixels, model.preprocess)) }),
    looks: judges.map((judge) => judge.look({ bytes, pixels })),
  };
  looked();
  return seen;
}

function digestOf(bytes: Uint8Array, { digest }: ScoreShardOptions): string {
  return digest === undefined ? bytesToHex(sha256(bytes)) : digest(bytes);
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
