/** One shard as a stream of scored batches: what a response can send on, and what a folder collects. */
import { IMAGE_BATCH } from '../clip/model.ts';
import { CancelledError, type ShardError, type SkipReason } from '../errors.ts';
import type { ByteSource } from '../io/bytes.ts';
import type { Column } from '../metadata/columns.ts';
import type { ClipColumns, Row, Skipped } from '../metadata/table.ts';
import type { TarPlace } from '../tar/reader.ts';
import { Budget, mapAhead } from './ahead.ts';
import { ClipWindow } from './collect.ts';
import { DECODED_PIXELS, prepare, type Scorable } from './prepare.ts';
import { READ_BYTES, SampleReader, sizeOf } from './read.ts';
import type { ScoreShardOptions } from './shard.ts';

/**
 * Captions are gathered over this many samples, so that the model can run those of like length together: a text
 * batch costs what its longest caption costs. A constant: the batches of a shard depend on the shard alone.
 */
const TEXT_WINDOW = 256;

/** What happened since the batch before: every sample is in one of `rows`, `skipped` and `passedOver`. */
export interface ScoredBatch {
  /** Scored samples, in the shard's order. */
  rows: Row[];
  /** By model, of the same rows. */
  clips: ClipColumns[];
  /** By judge: its columns of the same rows, some rows after others. */
  judged: Column[][][];
  skipped: Skipped[];
  /** Samples that a pilot did not draw; not seen. */
  passedOver: number;
  /** Captions among the rows that were longer than the context, by slug. */
  captionsTruncated: { [slug: string]: number };
  /** On the last batch, which may have no rows. */
  end?: ShardEnd;
}

/** How the reading of a shard ended. */
export interface ShardEnd {
  /** The shard ended early; what was yielded of it was whole. */
  truncated?: ShardError;
  /** The limit stopped the reading before the shard's end. */
  cut: boolean;
  /** Where it did: with `from`, reading can be taken up there. */
  next?: TarPlace;
  /** Every byte of the source went through `onBytes`. */
  readToEnd: boolean;
}

/**
 * tar → samples → pictures and tokens → towers → rows, with bounded look-ahead between the stages and every sample
 * accounted for. A batch is yielded when the captions of `window` samples, or the last ones, have been embedded, or as
 * many samples have been skipped.
 *
 * Throws `ShardError` where nothing of the shard may be used, `CancelledError` on abort. A shard that ends early
 * does not throw: see `end`.
 */
export async function* scoreBatches(
  source: ByteSource,
  options: ScoreShardOptions,
): AsyncGenerator<ScoredBatch, void, undefined> {
  const { signal, window: size = TEXT_WINDOW } = options;
  const read = new Budget(options.memory?.readBytes ?? READ_BYTES);
  const decoded = new Budget(options.memory?.decodedPixels ?? DECODED_PIXELS);
  const reader = new SampleReader(source, options, read);
  // Two batches ahead: while the towers run one, the next is being decoded.
  const prepared = mapAhead(reader.samples(), 2 * IMAGE_BATCH, async ({ raw, position }) => ({
    position,
    ...(await prepare(raw, options, decoded).finally(() => read.give(sizeOf(raw)))),
  }));
  const window = new Window(options);
  /** `undefined` where nothing but skips came for long: what there is goes out, so that it does not pile up. */
  const scorable = async function* () {
    for await (const item of prepared) {
      if (signal?.aborted) throw new CancelledError();
      if ('ready' in item) yield { ...item.ready, position: item.position };
      else if ('skip' in item) {
        window.skip(item.skip, item.position);
        if (window.skips >= size) yield undefined;
      } else window.passOver(item.position);
    }
  };
  let batch: (Scorable & { position: number })[] = [];
  for await (const item of scorable()) {
    if (item !== undefined) batch.push(item);
    if (item !== undefined && batch.length < IMAGE_BATCH) continue;
    if (batch.length > 0) await window.add(batch);
    batch = [];
    if (item === undefined || window.size >= size) yield await window.close();
  }
  if (batch.length > 0) await window.add(batch);
  if (signal?.aborted) throw new CancelledError();
  const { truncated, cut, next, readToEnd } = reader;
  if (truncated?.where.key !== undefined) {
    window.skip(
      { key: truncated.where.key, reason: 'truncated' satisfies SkipReason, detail: truncated.message },
      reader.position,
    );
  }
  const end = {
    ...{ cut, readToEnd },
    ...(next === undefined ? {} : { next }),
    ...(truncated === undefined ? {} : { truncated }),
  };
  yield { ...(await window.close()), end };
}

/** Samples since the last batch was yielded. */
class Window {
  readonly #options: ScoreShardOptions;
  readonly #models: ClipWindow[];
  #batch: ScoredBatch;

  constructor(options: ScoreShardOptions) {
    this.#options = options;
    this.#models = options.models.map((model) => new ClipWindow(model, options.embeddings));
    this.#batch = this.#empty();
  }

  /** Rows so far. */
  get size(): number {
    return this.#batch.rows.length;
  }

  /** Skipped lines so far. */
  get skips(): number {
    return this.#batch.skipped.length;
  }

  skip(line: Skipped, position: number): void {
    this.#batch.skipped.push(line);
    this.#options.onSample?.('skipped', position);
  }

  passOver(position: number): void {
    this.#batch.passedOver++;
    this.#options.onSample?.('passed_over', position);
  }

  /** Runs what is run a batch at a time; captions wait for `close`. */
  async add(samples: readonly (Scorable & { position: number })[]): Promise<void> {
    const { models, judges = [], signal, onSample } = this.#options;
    const { rows, judged, captionsTruncated } = this.#batch;
    for (const [m, window] of this.#models.entries()) {
      if (signal?.aborted) throw new CancelledError();
      await window.add(
        samples.map(({ pictures }) => pictures[m]),
        samples.map(({ tokens }) => tokens[m]),
      );
      captionsTruncated[models[m].slug] += samples.filter(({ truncated }) => truncated[m]).length;
    }
    for (const [j, judge] of judges.entries()) {
      if (signal?.aborted) throw new CancelledError();
      judged[j].push(await judge.judge(samples.map(({ looks }) => looks[j])));
    }
    for (const { row, position } of samples) {
      rows.push(row);
      onSample?.('scored', position);
    }
  }

  async close(): Promise<ScoredBatch> {
    const clips: ClipColumns[] = [];
    for (const window of this.#models) {
      if (this.#options.signal?.aborted) throw new CancelledError();
      clips.push(await window.close());
    }
    const batch = { ...this.#batch, clips };
    this.#batch = this.#empty();
    return batch;
  }

  #empty(): ScoredBatch {
    const { models, judges = [] } = this.#options;
    return {
      rows: [],
      clips: [],
      judged: judges.map(() => []),
      skipped: [],
      passedOver: 0,
      captionsTruncated: Object.fromEntries(models.map(({ slug }) => [slug, 0])),
    };
  }
}
