import { ShardError } from '../errors.ts';
import type { ByteSource } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import type { TarPlace } from '../tar/reader.ts';
import { type Caps, type RawSample, type ReadPlace, readSamples } from '../webdataset/samples.ts';
import type { Budget } from './ahead.ts';

/** Bytes of samples read and not yet decoded, at any time. */
export const READ_BYTES = 256e6;

export interface ReadShardOptions {
  /** For messages. */
  shard: string;
  limit?: number;
  gunzip?: Gunzip;
  /** Sizes above which members and samples are skipped. */
  caps?: Partial<Caps>;
  /** The source begins at this place of the unpacked tar. */
  from?: ReadPlace;
  /** Whatever a shard breaks off with behind its first sample, what was whole counts: see `ShardEnd.truncated`. */
  salvage?: boolean;
  onBytes?: (bytes: Uint8Array) => void;
  signal?: AbortSignal;
}

/** A sample and the stored bytes of the shard that had been read when it was whole. */
export interface Read {
  raw: RawSample;
  position: number;
}

/** Reads samples until the end, the limit, or the place where the shard breaks off. */
export class SampleReader {
  truncated: ShardError | undefined;
  cut = false;
  /** Where the sample after the limit begins. */
  next: TarPlace | undefined;
  readToEnd = false;
  /** Stored bytes read. */
  position = 0;
  readonly #source: ByteSource;
  readonly #options: ReadShardOptions;
  readonly #read: Budget;

  constructor(source: ByteSource, options: ReadShardOptions, read: Budget) {
    this.#source = source;
    this.#options = options;
    this.#read = read;
  }

  async *samples(): AsyncGenerator<Read, void, undefined> {
    const { shard, signal, limit, gunzip, caps, from, salvage = false } = this.#options;
    const bytes = this.#source.stream({ signal })[Symbol.asyncIterator]();
    let seen = 0;
    try {
      const options = { shard, signal, gunzip, caps, from };
      for await (const sample of readSamples(this.#chunks(bytes), options)) {
        // Looked at before it is taken, so that a limit equal to the shard's length does not count as a cut.
        if (limit !== undefined && seen >= limit) {
          this.cut = true;
          this.next = sample.place;
          return;
        }
        seen++;
        await this.#read.take(sizeOf(sample));
        yield { raw: sample, position: this.position };
      }
      // An archive may end before its file does: the rest belongs to the input's hash.
      for await (const _ of this.#chunks(bytes));
    } catch (error) {
      const isKept = salvage && seen > 0;
      if (!(error instanceof ShardError) || !(error.problem === 'truncated' || isKept)) throw error;
      this.truncated = error;
      // Whoever sends it may not read before all is sent.
      if (error.problem !== 'unreadable') for await (const _ of this.#chunks(bytes));
    } finally {
      await bytes.return?.();
    }
  }

  /** The chunks left in `bytes`; ending the loop over them early does not close it. */
  async *#chunks(bytes: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    while (!this.readToEnd) {
      const next = await bytes.next();
      if (next.done) {
        this.readToEnd = true;
        return;
      }
      this.position += next.value.byteLength;
      this.#options.onBytes?.(next.value);
      yield next.value;
    }
  }
}

/** Bytes of a sample's members: what it takes from the budget of bytes read. */
export function sizeOf(raw: RawSample): number {
  return raw.members.reduce((sum, { bytes }) => sum + bytes.length, 0);
}
