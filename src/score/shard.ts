import type { Embedder } from '../clip/embedder.ts';
import { IMAGE_BATCH } from '../clip/model.ts';
import type { Tokenizer } from '../clip/tokenizer/tokenizer.ts';
import { CancelledError, SampleError, type ShardError, type SkipReason } from '../errors.ts';
import { preprocessBytes } from '../image/preprocess.ts';
import type { PreprocessConfig } from '../image/preprocess-config.ts';
import { sniff } from '../image/sniff.ts';
import type { Fit, ImageDecoder } from '../image/types.ts';
import type { ByteSource } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import type { Column } from '../metadata/columns.ts';
import type { ShardTable, Skipped } from '../metadata/table.ts';
import { type Pair, type PairOptions, toPair, uidIfKnown } from '../webdataset/pair.ts';
import type { RawSample } from '../webdataset/samples.ts';
import { Budget, inBatches, mapAhead } from './ahead.ts';
import { ClipCollector } from './collect.ts';
import type { Look, PictureJudge } from './judge.ts';
import { SampleReader, sizeOf } from './read.ts';

/** Pixels decoded and not yet resized at any time: 64 MP of RGB are 192 MB. A larger picture waits and runs alone. */
export const DECODED_PIXELS = 64e6;

/** Bytes of samples read and not yet decoded, at any time. */
export const READ_BYTES = 256e6;

/** One model of a run: what it is called in the output, and the parts that make its scores. */
export interface ScoreModel {
  slug: string;
  preprocess: PreprocessConfig;
  tokenizer: Tokenizer;
  clip: Embedder;
}

export interface ScoreShardOptions {
  /** Base name without ending: part of derived uids and of messages. */
  shard: string;
  models: readonly ScoreModel[];
  decoder: ImageDecoder;
  fit: Fit;
  pair: Omit<PairOptions, 'shardBase'>;
  /** Keep the unit embeddings beside the scores. */
  embeddings: boolean;
  /** What looks at the decoded pictures beside the models. */
  judges?: readonly PictureJudge[];
  /** A platform's own gunzip; default one that runs anywhere. */
  gunzip?: Gunzip;
  /** A pilot: samples after this many are not looked at. */
  limit?: number;
  /** A pilot: score only those samples for which this holds; the others are counted in `passedOver`. */
  draw?: (key: string) => boolean;
  /** `position`: stored bytes of the shard that had been read when the sample was. */
  onSample?: (outcome: 'scored' | 'skipped' | 'passed_over', position: number) => void;
  /** Every chunk of the stored bytes, in order: for hashing. */
  onBytes?: (bytes: Uint8Array) => void;
  signal?: AbortSignal;
}

export interface ShardCounts {
  /** `seen = scored + sum(skipped)`, always. */
  seen: number;
  scored: number;
  skipped: { [reason: string]: number };
  /** Samples that a pilot did not draw; not seen. */
  passedOver: number;
  /** Captions longer than the context, cut with end-of-text forced, by slug. */
  captionsTruncated: { [slug: string]: number };
}

export interface ScoredShard {
  table: ShardTable;
  /** By judge: its columns, a batch of rows after another. */
  judged: Column[][][];
  skipped: Skipped[];
  counts: ShardCounts;
  /** The shard ended early; what stands in `table` was whole. */
  truncated?: ShardError;
  /** The limit stopped the reading before the shard's end. */
  cut: boolean;
  /** Every byte of the source went through `onBytes`. */
  readToEnd: boolean;
}

/** A sample on its way to the towers: RGB bytes and tokens for each model, or the reason it stops here. */
type Prepared =
  | {
      pair: Pair;
      width: number;
      height: number;
      pictures: Uint8Array[];
      tokens: Int32Array[];
      truncated: boolean[];
      looks: (Look | undefined)[];
    }
  | { skip: Skipped }
  | { passedOver: true };

/**
 * Scores one shard: tar → samples → pictures and tokens → towers → rows, with bounded look-ahead between the
 * stages and every sample accounted for. Rows stand in the shard's order.
 *
 * Throws `ShardError` where nothing of the shard may be used, `CancelledError` on abort. A shard that ends early
 * does not throw: see `truncated`.
 */
export async function scoreShard(source: ByteSource, options: ScoreShardOptions): Promise<ScoredShard> {
  const { models, judges = [], signal } = options;
  const counts: ShardCounts = { seen: 0, scored: 0, skipped: {}, passedOver: 0, captionsTruncated: {} };
  const skipped: Skipped[] = [];
  const rows: ShardTable['rows'] = [];
  const judged: Column[][][] = judges.map(() => []);
  const collectors = models.map((model) => {
    counts.captionsTruncated[model.slug] = 0;
    return new ClipCollector(model, options.embeddings);
  });
  const skip = (line: Skipped, position: number): void => {
    counts.seen++;
    counts.skipped[line.reason] = (counts.skipped[line.reason] ?? 0) + 1;
    skipped.push(line);
    options.onSample?.('skipped', position);
  };

  const read = new Budget(READ_BYTES);
  const decoded = new Budget(DECODED_PIXELS);
  const reader = new SampleReader(source, options, read);
  // Two batches ahead: while the towers run one, the next is being decoded.
  const prepared = mapAhead(reader.samples(), 2 * IMAGE_BATCH, async ({ raw, position }) => ({
    position,
    ...(await prepare(raw, options, decoded).finally(() => read.give(sizeOf(raw)))),
  }));
  const scorable = async function* () {
    for await (const item of prepared) {
      if (signal?.aborted) throw new CancelledError();
      if ('pair' in item) yield item;
      else if ('skip' in item) skip(item.skip, item.position);
      else {
        counts.passedOver++;
        options.onSample?.('passed_over', item.position);
      }
    }
  };
  for await (const batch of inBatches(scorable(), IMAGE_BATCH)) {
    for (const [m, collector] of collectors.entries()) {
      if (signal?.aborted) throw new CancelledError();
      await collector.add(
        batch.map((item) => item.pictures[m]),
        batch.map((item) => item.tokens[m]),
      );
      counts.captionsTruncated[models[m].slug] += batch.filter((item) => item.truncated[m]).length;
    }
    for (const [j, judge] of judges.entries()) {
      if (signal?.aborted) throw new CancelledError();
      judged[j].push(await judge.judge(batch.map(({ looks }) => looks[j])));
    }
    for (const item of batch) {
      counts.seen++;
      counts.scored++;
      rows.push(rowOf(item.pair, item.width, item.height));
      options.onSample?.('scored', item.position);
    }
  }
  if (signal?.aborted) throw new CancelledError();
  const clips = [];
  for (const collector of collectors) clips.push(await collector.finish());

  const truncated = reader.truncated;
  if (truncated?.where.key !== undefined) {
    skip(
      { key: truncated.where.key, reason: 'truncated' satisfies SkipReason, detail: truncated.message },
      reader.position,
    );
  }
  return {
    table: { rows, clips },
    judged,
    skipped,
    counts,
    cut: reader.cut,
    readToEnd: reader.readToEnd,
    ...(truncated === undefined ? {} : { truncated }),
  };
}

async function prepare(raw: RawSample, options: ScoreShardOptions, budget: Budget): Promise<Prepared> {
  if (options.draw !== undefined && !options.draw(raw.key)) return { passedOver: true };
  const pairing = { ...options.pair, shardBase: options.shard };
  try {
    const pair = toPair(raw, pairing);
    const { models, decoder, judges = [] } = options;
    const encoded = models.map((model) => model.tokenizer.encode(pair.caption));
    const header = sniff(pair.image);
    const { inputs, looks } = await budget.use(header.width * header.height, async () => {
      const picture = await decoder.decode(pair.image, header, { fit: options.fit });
      const inputs = models.map((model) => preprocessBytes(picture, model.preprocess));
      return { inputs, looks: judges.map((judge) => judge.look({ bytes: pair.image, pixels: picture })) };
    });
    return {
      pair,
      width: pair.originalWidth ?? header.width,
      height: pair.originalHeight ?? header.height,
      pictures: inputs,
      tokens: encoded.map((text) => text.ids),
      truncated: encoded.map((text) => text.truncated),
      looks,
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

function rowOf(pair: Pair, width: number, height: number): ShardTable['rows'][number] {
  return {
    uid: pair.uid,
    key: pair.key,
    url: pair.url,
    text: pair.caption,
    original_width: width,
    original_height: height,
    sha256: pair.sha256,
    face_bboxes: pair.faceBboxes,
    carried: pair.carried,
  };
}
