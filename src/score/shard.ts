import type { Embedder } from '../clip/embedder.ts';
import type { Tokenizer } from '../clip/tokenizer/tokenizer.ts';
import type { PreprocessConfig } from '../image/preprocess-config.ts';
import type { Fit, ImageDecoder } from '../image/types.ts';
import type { ByteSource } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import type { Column } from '../metadata/columns.ts';
import type { ClipColumns, ShardTable, Skipped } from '../metadata/table.ts';
import type { PairOptions } from '../webdataset/pair.ts';
import { type ShardEnd, scoreBatches } from './batches.ts';
import { joinClips } from './collect.ts';
import type { Gate } from './gate.ts';
import type { PictureJudge } from './judge.ts';
import type { ReadShardOptions } from './read.ts';
import type { Watch } from './stages.ts';

/** One model of a run: what it is called in the output, and the parts that make its scores. */
export interface ScoreModel {
  slug: string;
  preprocess: PreprocessConfig;
  tokenizer: Tokenizer;
  clip: Embedder;
}

export interface ScoreShardOptions extends Pick<ReadShardOptions, 'caps' | 'from' | 'salvage'> {
  /** Base name without ending: part of derived uids and of messages. */
  shard: string;
  models: readonly ScoreModel[];
  decoder: ImageDecoder;
  fit: Fit;
  pair: Omit<PairOptions, 'shardBase'>;
  /** Keep the unit embeddings beside the scores. */
  embeddings: boolean;
  /** Samples a yielded batch has at least: more of them let more captions of like length run together. Default 256. */
  window?: number;
  /** What may be in flight between reading and the towers; default what a machine of some gigabytes can hold. */
  memory?: { readBytes: number; decodedPixels: number };
  /** What looks at the decoded pictures beside the models. */
  judges?: readonly PictureJudge[];
  /** A platform's own gunzip; default one that runs anywhere. */
  gunzip?: Gunzip;
  /** A pilot: samples after this many are not looked at. */
  limit?: number;
  /** A pilot: score only those samples for which this holds; the others are counted in `passedOver`. */
  draw?: (key: string) => boolean;
  /** `position`: stored bytes of the shard that had been read when the sample was. */
  onSample?: (outcome: SampleOutcome, position: number) => void;
  /** Drops samples before their pictures are decoded; counted in `filtered`. */
  gate?: Gate;
  /** SHA-256 in hex, by which equal pictures are known; a platform's own is several times faster. */
  digest?: (bytes: Uint8Array) => string;
  /** Every chunk of the stored bytes, in order: for hashing. */
  onBytes?: (bytes: Uint8Array) => void;
  /** Every sample has been read and decoded: another shard may begin while the towers finish this one. */
  onPrepared?: () => void;
  watch?: Watch;
  signal?: AbortSignal;
}

export type SampleOutcome = 'scored' | 'skipped' | 'filtered' | 'passed_over';

export interface ShardCounts {
  /** `seen = scored + sum(skipped) + sum(filtered)`, always. */
  seen: number;
  scored: number;
  skipped: { [reason: string]: number };
  /** Samples that a filter dropped before they were scored, by filter. */
  filtered: { [filter: string]: number };
  /** Pictures and captions that had come before in the shard, and were not embedded again. */
  repeats: { pictures: number; captions: number };
  /** Samples that a pilot did not draw; not seen. */
  passedOver: number;
  /** Captions longer than the context, cut with end-of-text forced, by slug. */
  captionsTruncated: { [slug: string]: number };
}

export interface ScoredShard extends ShardEnd {
  table: ShardTable;
  /** By judge: its columns, a batch of rows after another. */
  judged: Column[][][];
  skipped: Skipped[];
  counts: ShardCounts;
}

/**
 * Scores one shard whole: the batches of `scoreBatches`, collected. Rows stand in the shard's order.
 *
 * Throws `ShardError` where nothing of the shard may be used, `CancelledError` on abort. A shard that ends early
 * does not throw: see `truncated`.
 */
export async function scoreShard(source: ByteSource, options: ScoreShardOptions): Promise<ScoredShard> {
  const { models, judges = [] } = options;
  const counts: ShardCounts = {
    ...{ seen: 0, scored: 0, skipped: {}, filtered: {}, passedOver: 0, captionsTruncated: {} },
    repeats: { pictures: 0, captions: 0 },
  };
  const rows: ShardTable['rows'] = [];
  const clips: ClipColumns[][] = models.map(() => []);
  const judged: Column[][][] = judges.map(() => []);
  const skipped: Skipped[] = [];
  let end: ShardEnd = { cut: false, readToEnd: false };
  for (const { slug } of models) counts.captionsTruncated[slug] = 0;
  for await (const batch of scoreBatches(source, options)) {
    for (const row of batch.rows) rows.push(row);
    for (const [m, columns] of batch.clips.entries()) clips[m].push(columns);
    for (const [j, columns] of batch.judged.entries()) judged[j].push(...columns);
    for (const line of batch.skipped) {
      skipped.push(line);
      const [into, name] =
        line.filter === undefined ? [counts.skipped, line.reason] : [counts.filtered, line.filter];
      into[name] = (into[name] ?? 0) + 1;
    }
    counts.scored += batch.rows.length;
    counts.seen += batch.rows.length + batch.skipped.length;
    counts.passedOver += batch.passedOver;
    counts.repeats.pictures += batch.repeats.pictures;
    counts.repeats.captions += batch.repeats.captions;
    for (const { slug } of models) counts.captionsTruncated[slug] += batch.captionsTruncated[slug];
    end = batch.end ?? end;
  }
  return {
    table: { rows, clips: models.map((model, m) => joinClips(clips[m], model)) },
    judged,
    skipped,
    counts,
    ...end,
  };
}
