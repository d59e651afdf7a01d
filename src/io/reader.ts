/**
 * Exact reads over a stream of chunks.
 *
 * Contract: anything may split across chunks, also one byte a chunk; empty chunks are passed over. At most one
 * chunk of the source is held. What `read` returns is a copy in a buffer of its own, so a caller may keep it,
 * transfer it to another thread, or let the source reuse its chunk. Skipping copies nothing. Offsets are plain
 * numbers and stay exact up to 2^53 bytes.
 *
 * What `view` returns is a part of the chunk where it lies in one, and good until the next chunk is asked for. With a
 * pool, chunks are held, and views stay good, until `release` says that nothing before an offset is in use.
 */
import { CancelledError, isShardsieveError, messageOf, ShardError } from '../errors.ts';

import type { ChunkPool } from './pool.ts';

const NOTHING = new Uint8Array(0);

/**
 * What is set aside before any of a member's bytes have arrived. A header can claim a size that the file does not
 * have, so the buffer grows with what really comes.
 */
const FIRST_ALLOCATION = 1024 * 1024;

export class ByteReader {
  /** Bytes consumed so far, from the start of the stream. */
  offset = 0;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #shard: string;
  readonly #signal: AbortSignal | undefined;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  #ended = false;
  readonly #pool: ChunkPool | undefined;
  /** Chunks before the current one, each with the offset of its end. */
  readonly #held: { chunk: Uint8Array; end: number }[] = [];

  constructor(stream: AsyncIterable<Uint8Array>, shard: string, signal?: AbortSignal, pool?: ChunkPool) {
    this.#iterator = stream[Symbol.asyncIterator]();
    this.#shard = shard;
    this.#signal = signal;
    this.#pool = pool;
  }

  /** As `read`, without copying where it can be; see the contract. */
  async view(length: number): Promise<Uint8Array> {
    if (this.#at === this.#chunk.length && length > 0) await this.#next();
    const end = this.#at + length;
    if (end > this.#chunk.length) return this.read(length);
    const bytes = this.#chunk.subarray(this.#at, end);
    this.#at = end;
    this.offset += length;
    return bytes;
  }

  /** `length` bytes from `ahead` on, where they lie in the chunk at hand; else `undefined`. Consumes nothing. */
  peek(ahead: number, length: number): Uint8Array | undefined {
    const start = this.#at + ahead;
    return start + length > this.#chunk.length ? undefined : this.#chunk.subarray(start, start + length);
  }

  /** Consumes bytes that `peek` has shown. */
  take(length: number): void {
    this.#at += length;
    this.offset += length;
  }

  /** Gives the chunks that end at or before an offset back to the pool. */
  release(offset: number): void {
    while (this.#held.length > 0 && this.#held[0].end <= offset) this.#pool?.give(this.#held.shift()!.chunk);
  }

  /** The next `length` bytes, fewer only where the stream ends. */
  async read(length: number): Promise<Uint8Array> {
    let bytes = new Uint8Array(Math.min(length, Math.max(FIRST_ALLOCATION, this.#chunk.length - this.#at)));
    let filled = 0;
    while (filled < length && (this.#at < this.#chunk.length || (await this.#next()))) {
      const take = Math.min(length - filled, this.#chunk.length - this.#at);
      if (filled + take > bytes.length) {
        const grown = new Uint8Array(Math.min(length, Math.max(bytes.length * 2, filled + take)));
        grown.set(bytes.subarray(0, filled));
        bytes = grown;
      }
      bytes.set(this.#chunk.subarray(this.#at, this.#at + take), filled);
      filled += take;
      this.#at += take;
      this.offset += take;
    }
    return filled === bytes.length ? bytes : bytes.slice(0, filled);
  }

  /** Passes over `length` bytes; returns how many there were. */
  async skip(length: number): Promise<number> {
    let left = length;
    while (left > 0 && (this.#at < this.#chunk.length || (await this.#next()))) {
      const take = Math.min(left, this.#chunk.length - this.#at);
      this.#at += take;
      this.offset += take;
      left -= take;
    }
    return length - left;
  }

  /** Lets the source go: an open file is closed. Safe to call twice; never throws. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#chunk = NOTHING;
    this.#at = 0;
    await this.#iterator.return?.().catch(() => undefined);
  }

  async #next(): Promise<boolean> {
    while (!this.#ended) {
      if (this.#signal?.aborted) throw new CancelledError('stopped while reading', { shard: this.#shard });
      let step: IteratorResult<Uint8Array>;
      try {
        step = await this.#iterator.next();
      } catch (error) {
        this.#ended = true;
        throw this.#typed(error);
      }
      if (step.done) {
        this.#ended = true;
        break;
      }
      if (step.value.length === 0) continue;
      // All of the current chunk has been consumed, so it ends here.
      if (this.#pool !== undefined && this.#chunk.length > 0) {
        this.#held.push({ chunk: this.#chunk, end: this.offset });
      }
      this.#chunk = step.value;
      this.#at = 0;
      return true;
    }
    this.#chunk = NOTHING;
    this.#at = 0;
    return false;
  }

  #typed(error: unknown): Error {
    if (isShardsieveError(error)) return error;
    if (this.#signal?.aborted || (error instanceof Error && error.name === 'AbortError')) {
      return new CancelledError('stopped while reading', { shard: this.#shard, cause: error });
    }
    const details = { shard: this.#shard, offset: this.offset, cause: error };
    return new ShardError('unreadable', `reading failed: ${messageOf(error)}`, details);
  }
}
