/**
 * Memory for the chunks of a stream that is read without copying: a source takes a buffer, the reader gives it back
 * when nothing of it is in use any more, and the next chunk lies in it. Fresh memory for every megabyte costs more
 * than reading it from the page cache.
 *
 * Only what was taken here is taken back: a source may as well give chunks of its own.
 */
export class ChunkPool {
  readonly #lent = new WeakSet<ArrayBufferLike>();
  readonly #free: Uint8Array[] = [];

  /** A buffer of exactly `size` bytes, whose content is whatever was there. */
  take(size: number): Uint8Array {
    const free = this.#free.pop();
    const buffer = free?.length === size ? free : new Uint8Array(size);
    this.#lent.add(buffer.buffer);
    return buffer;
  }

  /** Takes back the buffer that a chunk is a part of. */
  give(chunk: Uint8Array): void {
    if (this.#lent.delete(chunk.buffer)) this.#free.push(new Uint8Array(chunk.buffer));
  }
}
