/** One shard as a stream of scored batches: what a response can send on, and what a folder collects. */
import { IMAGE_BATCH } from '../clip/model.ts';
import { CancelledError, type ShardError } from '../errors.ts';
import type { ByteSource } from '../io/bytes.ts';
import type { Column } from '../metadata/columns.ts';
import type { ClipColumns, Row, Skipped } from '../metadata/table.ts';
import type { TarPlace } from '../tar/reader.ts';
import { Budget, mapAhead } from './ahead.ts';
import { type Earlier, earlierOf } from './earlier.ts';
import { DECODED_PIXELS, type Prepared, prepare } from './prepare.ts';
import { READ_BYTES, SampleReader, sizeOf } from './read.ts';
import type { ScoreShardOptions } from './shard.ts';
import { UNWATCHED, watchedItems } from './stages.ts';
import { type EmbeddedBatch, embedBatch, Window } from './window.ts';

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
  /** Those that filters dropped too; they have a `filter`. */
  skipped: Skipped[];
  /** Pictures and captions among the rows that had come before in the shard, and were not embedded again. */
  repeats: { pictures: number; captions: number };
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
 * many samples have been skipped. What is embedded together follows from the shard alone, never from what was ready first.
 *
 * Throws `ShardError` where nothing of the shard may be used, `CancelledError` on abort. A shard that ends early
 * does not throw: see `end`.
 */
export async function* scoreBatches(
  source: ByteSource,
  options: ScoreShardOptions,
): AsyncGenerator<ScoredBatch, void, undefined> {
  const { models, shard, window: size = TEXT_WINDOW, watch = UNWATCHED } = options;
  const read = new Budget(options.memory?.readBytes ?? READ_BYTES);
  const decoded = new Budget(options.memory?.decodedPixels ?? DECODED_PIXELS);
  const decoders = new Budget(options.decoder.lanes ?? 1);
  // Where a batch fails, nobody waits for bytes that a stalled source may never send.
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const orStop = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      stop.abort();
      throw error;
    });
  const reader = new SampleReader(source, { ...options, signal }, read);
  const samples = watchedItems(reader.samples(), watch, 'read', { shard });
  const earlier = earlierOf(options);
  // As many batches as the towers run at once, and one more that is there when they are done with one.
  const ahead = 1 + Math.max(1, ...models.map(({ clip }) => clip.lanes ?? 1));
  const batch =
    models.length === 0 ? IMAGE_BATCH : Math.max(...models.map(({ clip }) => clip.batch ?? IMAGE_BATCH));
  let waiting = 0;
  const prepared = mapAhead(samples, ahead * batch, async ({ raw, position }) => {
    waiting++;
    watch.queued('samples', 1);
    const sample = prepare(raw, options, { decoded, decoders }, earlier);
    return { position, ...(await sample.finally(() => read.give(sizeOf(raw)))) };
  });
  const gathered = gather(prepared, { size: batch, mostSkips: size }, options.onPrepared);
  const embedded = mapAhead(gathered, ahead, (items) => {
    waiting -= items.length;
    watch.queued('samples', -items.length);
    return orStop(embedBatch(items, options, earlier));
  });
  // Captions of one window are embedded while the pictures of the next are.
  const windows = gatherWindows(embedded, reader, size, { ...options, earlier });
  try {
    yield* mapAhead(windows, 2, (window) => orStop(window.close()));
  } finally {
    watch.queued('samples', -waiting);
  }
}

type Placed = Prepared & { position: number };

/**
 * Cuts samples into runs with `size` of them for the towers, and with all that lie between those. Nothing but skips for
 * long ends a run too, so that they do not pile up.
 */
async function* gather(
  prepared: AsyncIterable<Placed>,
  { size, mostSkips }: { size: number; mostSkips: number },
  onEnd: (() => void) | undefined,
): AsyncGenerator<Placed[], void, undefined> {
  let items: Placed[] = [];
  let ready = 0;
  let skips = 0;
  for await (const item of prepared) {
    items.push(item);
    if ('ready' in item) ready++;
    if ('skip' in item) skips++;
    if (ready < size && skips < mostSkips) continue;
    yield items;
    items = [];
    ready = 0;
    skips = 0;
  }
  onEnd?.();
  if (items.length > 0) yield items;
}

async function* gatherWindows(
  embedded: AsyncIterable<EmbeddedBatch>,
  reader: SampleReader,
  size: number,
  options: ScoreShardOptions & { earlier: Earlier },
): AsyncGenerator<Window, void, undefined> {
  let window = new Window(options, options.earlier);
  for await (const batch of embedded) {
    window.add(batch);
    if (window.size < size && window.skips < size) continue;
    yield window;
    window = new Window(options, options.earlier);
  }
  if (options.signal?.aborted) throw new CancelledError();
  window.end(reader);
  yield window;
}
