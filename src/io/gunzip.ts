/**
 * Gzip, found by content and never by name.
 *
 * Contract: streams of several gzip members work (pigz and `cat a.gz b.gz` make them); zeros behind the last member
 * are ignored, as gzip(1) and Python do, and what else lies there may be ignored or be `corrupt`: a tar has ended
 * before it. What was whole before a cut is yielded before `truncated` is thrown. Input is fed in slices, so that a bomb holds at most SLICE × 1032 bytes (deflate's limit) at a time;
 * there is no cap on the total, only the tar reader's caps on one member.
 *
 * The web's own `DecompressionStream` is not used: by its specification it refuses what follows the first member,
 * and it drops output it had ready when the input turns out to be cut. The default here is fflate, which runs
 * everywhere and does not verify checksums; a platform with a native zlib hands in its own `Gunzip`.
 */
import { Gunzip as FflateGunzip, FlateErrorCode, gzipSync } from 'fflate';
import { messageOf, SampleError, ShardError } from '../errors.ts';

/** Unpacks a gzip stream; throws `ShardError` `truncated` or `corrupt` after yielding what came before. */
export type Gunzip = (stream: AsyncIterable<Uint8Array>, shard: string) => AsyncIterable<Uint8Array>;

/** Compressed bytes fed at a time: at most 16 MiB come out of them. */
const SLICE = 16 * 1024;

/** A gzip member of nothing, pushed after the end: it is met as a member only if the one before it was whole. */
const SENTINEL = gzipSync(new Uint8Array(0), { mtime: 0 });

export function looksGzipped(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** The stream itself, or its content where it begins with gzip's two magic bytes. */
export async function* maybeGunzip(
  stream: AsyncIterable<Uint8Array>,
  shard: string,
  gunzip: Gunzip = gunzipAnywhere,
): AsyncGenerator<Uint8Array, void, undefined> {
  const source = stream[Symbol.asyncIterator]();
  try {
    // Two bytes decide, and they may come in two chunks.
    let head: Uint8Array = new Uint8Array(0);
    while (head.length < 2) {
      const step = await source.next();
      if (step.done) break;
      head = head.length === 0 ? step.value : concat(head, step.value);
    }
    const whole = withHead(head, source);
    if (looksGzipped(head)) yield* gunzip(whole, shard);
    else yield* whole;
  } finally {
    await source.return?.();
  }
}

/** Runs on any platform; see the contract above. */
export async function* gunzipAnywhere(
  stream: AsyncIterable<Uint8Array>,
  shard: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inflater = new Inflater();
  for await (const slice of inSlices(stream, SLICE)) {
    const { pieces, failure } = inflater.push(slice);
    yield* pieces;
    if (failure !== undefined) {
      const details = { shard, cause: failure, hint: 'Download or write it again' };
      throw new ShardError('corrupt', `the gzip stream is damaged: ${messageOf(failure)}`, details);
    }
    if (inflater.finished) return;
  }
  if (!inflater.endsWhole()) throw new ShardError('truncated', 'the gzip stream ends early', { shard });
}

/**
 * One gzipped member, such as `0001.txt.gz`.
 *
 * @param cap most bytes that may come out. Throws `SampleError`: `member_too_large` above it, `bad_member` where the
 * gzip is damaged or cut.
 */
export function gunzipMember(bytes: Uint8Array, cap: number): Uint8Array {
  const inflater = new Inflater();
  const pieces: Uint8Array[] = [];
  let total = 0;
  if (!looksGzipped(bytes)) throw new SampleError('bad_member', 'named .gz and is no gzip');
  for (let at = 0; at < bytes.length && !inflater.finished; at += SLICE) {
    const out = inflater.push(bytes.subarray(at, at + SLICE));
    for (const piece of out.pieces) {
      pieces.push(piece);
      total += piece.length;
    }
    if (out.failure !== undefined) {
      const details = { cause: out.failure };
      throw new SampleError('bad_member', `its gzip is damaged: ${messageOf(out.failure)}`, details);
    }
    if (total > cap) throw new SampleError('member_too_large', `unpacks to more than ${cap} bytes`);
  }
  if (!inflater.finished && !inflater.endsWhole()) {
    throw new SampleError('bad_member', 'its gzip ends early');
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** fflate's streaming gunzip, with its errors as values and the end of the last member made visible. */
class Inflater {
  /** True once something that is no gzip followed a whole member. */
  finished = false;
  readonly #flate: FflateGunzip;
  #pieces: Uint8Array[] = [];
  #pushed = 0;
  #members = 0;
  #lastMember = -1;
  #seen = false;

  constructor() {
    this.#flate = new FflateGunzip((piece) => {
      if (piece.length > 0) this.#pieces.push(piece);
    });
    this.#flate.onmember = (offset: number) => {
      this.#members += 1;
      this.#lastMember = offset;
    };
  }

  push(slice: Uint8Array): { pieces: Uint8Array[]; failure?: unknown } {
    this.#pieces = [];
    try {
      // A copy, since fflate may keep what it cannot use yet and the slice is the source's.
      this.#flate.push(new Uint8Array(slice), false);
    } catch (error) {
      // A bad header can only be met at the very start or behind a whole member; behind one it is mere padding.
      const isHeader = (error as { code?: number }).code === FlateErrorCode.InvalidHeader;
      if (isHeader && this.#started()) this.finished = true;
      else return { pieces: this.#pieces, failure: error };
    }
    this.#pushed += slice.length;
    this.#seen ||= this.#pieces.length > 0;
    return { pieces: this.#pieces };
  }

  /** Whether the last member came to its end. To be asked once, after the last slice. */
  endsWhole(): boolean {
    const end = this.#pushed;
    this.push(SENTINEL);
    return this.#lastMember === end;
  }

  #started(): boolean {
    return this.#seen || this.#members > 0 || this.#pieces.length > 0;
  }
}

/**
 * The same bytes in slices of `size`, the last one shorter: a decompressor pays for every call, and a source may give
 * a byte at a time. Slices are valid until the next one is asked for.
 */
export async function* inSlices(stream: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  let used = 0;
  try {
    for await (const chunk of stream) {
      for (let at = 0; at < chunk.length; ) {
        const take = Math.min(size - used, chunk.length - at);
        if (take === size) yield chunk.subarray(at, at + take);
        else {
          buffer.set(chunk.subarray(at, at + take), used);
          used += take;
        }
        at += take;
        if (used === size) {
          yield buffer;
          used = 0;
        }
      }
    }
  } catch (error) {
    // What came before a failing source still counts.
    if (used > 0) yield buffer.subarray(0, used);
    throw error;
  }
  if (used > 0) yield buffer.subarray(0, used);
}

async function* withHead(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  for (let step = await rest.next(); !step.done; step = await rest.next()) yield step.value;
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
