/**
 * The pictures of metadata rows, out of tars, by uid.
 *
 * Contract
 * - A folder that Shardsieve wrote has a metadata shard a tar, of the same name, its rows in the tar's order: that tar is
 *   read as a stream, once. A sample that is no row is passed over; a row whose sample is not there has no picture.
 * - Any other metadata shard may cover several tars, in any order: all tars are read once to learn where each uid lies,
 *   some 200 bytes of memory a sample, and pictures are then read by range. A packed tar has no ranges and is refused.
 * - What is whole of a tar that ends early is used. Throws `ShardError` where a tar cannot be read, `UsageError`.
 */
import { CancelledError, SampleError, ShardError, UsageError } from '../errors.ts';
import type { ByteSource } from '../io/bytes.ts';
import { type Gunzip, looksGzipped } from '../io/gunzip.ts';
import { pictureOf, uidIfKnown } from '../webdataset/pair.ts';
import { type RawSample, readSamples } from '../webdataset/samples.ts';
import type { PictureSource } from './types.ts';

export interface TarsOptions {
  /** The tars under their base names. */
  sources: readonly { shard: string; source: ByteSource }[];
  /** Where uids come from, as when the metadata was made: `json`, `json:FIELD` or `key`. */
  uid: string;
  /** Metadata shards are tars of the same name, rows in their order. */
  inOrder: boolean;
  gunzip?: Gunzip;
  onNote?: (text: string) => void;
  signal?: AbortSignal;
}

interface Sample {
  raw: RawSample;
  uid: string | undefined;
}

export function tarPictures(options: TarsOptions): PictureSource {
  const byName = new Map(options.sources.map(({ shard, source }) => [shard, source]));
  let index: Promise<Index> | undefined;
  return {
    async open(shard) {
      const source = options.inOrder ? byName.get(shard) : undefined;
      if (source !== undefined) return new InOrder(samplesOf({ shard, source }, options));
      index ??= indexTars(options);
      return new ByRange(await index);
    },
  };
}

/** The samples of one tar with their uids; what is behind a break is not there. */
async function* samplesOf(
  { shard, source }: TarsOptions['sources'][number],
  { uid, gunzip, signal }: TarsOptions,
): AsyncGenerator<Sample, void, undefined> {
  try {
    for await (const raw of readSamples(source.stream({ signal }), { shard, gunzip, signal })) {
      yield { raw, uid: uidIfKnown(raw, { shardBase: shard, uid }) };
    }
  } catch (error) {
    if (!(error instanceof ShardError) || error.problem !== 'truncated') throw error;
  }
}

function pictureIn(raw: RawSample): Uint8Array | undefined {
  try {
    return pictureOf(raw);
  } catch (error) {
    if (error instanceof SampleError) return undefined;
    throw error;
  }
}

/** Follows one tar as the rows come. */
class InOrder {
  readonly #samples: AsyncGenerator<Sample, void, undefined>;
  /** Read, and of a row that is still to come. */
  #ahead: Sample | undefined;

  constructor(samples: AsyncGenerator<Sample, void, undefined>) {
    this.#samples = samples;
  }

  async next(uids: readonly string[], rows: ReadonlySet<string>): Promise<(Uint8Array | undefined)[]> {
    const pictures: (Uint8Array | undefined)[] = [];
    for (const uid of uids) {
      while (this.#ahead?.uid !== uid) {
        // In order, a later row's sample says that this row's is not there.
        if (this.#ahead?.uid !== undefined && rows.has(this.#ahead.uid)) break;
        const step = await this.#samples.next();
        this.#ahead = step.done ? undefined : step.value;
        if (step.done) break;
      }
      const isHere = this.#ahead?.uid === uid;
      pictures.push(isHere && this.#ahead !== undefined ? pictureIn(this.#ahead.raw) : undefined);
      if (isHere) this.#ahead = undefined;
    }
    return pictures;
  }

  async close(): Promise<void> {
    await this.#samples.return();
  }
}

interface Place {
  source: ByteSource;
  shard: string;
  start: number;
  end: number;
}

type Index = ReadonlyMap<string, Place>;

async function indexTars(options: TarsOptions): Promise<Index> {
  const { sources, onNote, signal } = options;
  onNote?.(`reading ${sources.length} shards once to find where the samples lie`);
  const index = new Map<string, Place>();
  for (const { shard, source } of sources) {
    if (signal?.aborted) throw new CancelledError();
    await refusePacked(source);
    for await (const { raw, uid } of samplesOf({ shard, source }, options)) {
      const end = raw.ranges.at(-1)?.[1];
      if (uid === undefined || end === undefined || index.has(uid)) continue;
      index.set(uid, { source, shard, start: raw.offset, end });
    }
  }
  return index;
}

async function refusePacked(source: ByteSource): Promise<void> {
  if (source.slice !== undefined) {
    const { size = 0 } = await source.identity();
    if (size < 2 || !looksGzipped(await source.slice(0, 2))) return;
  }
  throw new UsageError(`${source.name} is packed or a stream: single samples cannot be read from it`, {
    hint: 'Unpack it to a .tar; only shards that the metadata is named after can be packed',
  });
}

/** Any row of any tar. */
class ByRange {
  readonly #index: Index;

  constructor(index: Index) {
    this.#index = index;
  }

  next(uids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return Promise.all(
      uids.map(async (uid) => {
        const place = this.#index.get(uid);
        if (place?.source.slice === undefined) return undefined;
        const { shard, start, end } = place;
        const bytes = await place.source.slice(start, end);
        for await (const raw of readSamples(once(bytes), { shard })) return pictureIn(raw);
        return undefined;
      }),
    );
  }

  async close(): Promise<void> {}
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
