/**
 * Who works on a shard, and how far it is: one object a shard, changed only by whoever saw its last version. A worker that
 * was slower than another learns it at its next change, and has written nothing by then that the other would not write.
 */
import { CancelledError } from '../../src/errors.ts';
import type { SourceIdentity } from '../../src/io/bytes.ts';
import type { TarPlace } from '../../src/tar/reader.ts';
import { absent, type Bucket, bodyOf } from '../workers/bucket.ts';
import { decodeJson, encodeJson, type Failure, toHeader } from './records.ts';

export interface ShardProgress {
  /** Fingerprint of all that decides the shard's bytes, its own version included: parts of another are not gone on with. */
  generation: string;
  input: SourceIdentity & { size: number; etag: string };
  /** A gzip: it can only be read from its start. */
  packed: boolean;
  /** Pieces finished. */
  piece: number;
  /** Parts written. */
  parts: number;
  /** Where the next part begins. */
  place: TarPlace;
  /** The keys before it, in base64. */
  keys: string;
  counts: {
    seen: number;
    scored: number;
    skipped: { [reason: string]: number };
    captionsTruncated: { [slug: string]: number };
  };
  /** Nothing is left to be scored; `truncated` where the shard ends early. */
  ended?: { truncated: boolean };
  /** ISO 8601, UTC. */
  started: string;
  holder?: { message: string; until: number; token: string };
  /** Of the last attempt that failed. */
  failure?: Failure;
}

/** Another delivery of the shard's message has gone on with it. */
export class Superseded extends CancelledError {
  constructor(key: string) {
    super('another worker has taken the shard over', { file: key });
  }
}

export interface Claim {
  /** The message's, the same whenever it is delivered again. */
  message: string;
  piece: number;
  now: number;
  /** Milliseconds after which somebody else's message may take the shard. */
  leaseMs: number;
}

/**
 * - `held`: another message works on it, or did until a moment ago
 * - `behind`: this message's piece is finished; `piece` is the next one
 */
export type Claimed = { lease: Lease } | { state: 'held' } | { state: 'behind'; piece: number };

const TRIES = 8;

export class Lease {
  progress: ShardProgress;
  readonly #bucket: Bucket;
  readonly #key: string;
  #etag: string;

  private constructor(bucket: Bucket, key: string, progress: ShardProgress, etag: string) {
    this.#bucket = bucket;
    this.#key = key;
    this.progress = progress;
    this.#etag = etag;
  }

  /** Takes the shard, from where it stands or, where that was of another generation, from `fresh`. */
  static async claim(bucket: Bucket, key: string, fresh: ShardProgress, claim: Claim): Promise<Claimed> {
    const { message, piece, now, leaseMs } = claim;
    for (let tries = 0; tries < TRIES; tries++) {
      const body = bodyOf(await bucket.get(key));
      const have = body === undefined ? undefined : decodeJson<ShardProgress>(await body.arrayBuffer());
      const isOurs = have?.generation === fresh.generation;
      const isHeld = have?.holder !== undefined && have.holder.message !== message && have.holder.until > now;
      if (isHeld) return { state: 'held' };
      if (have !== undefined && isOurs && piece < have.piece) return { state: 'behind', piece: have.piece };
      // A token, so that no two versions of the object are the same.
      const holder = { message, until: now + leaseMs, token: crypto.randomUUID() };
      const progress = { ...(have !== undefined && isOurs ? have : fresh), holder };
      const put = await write(bucket, key, progress, body?.etag);
      if (put !== null) return { lease: new Lease(bucket, key, progress, put.etag) };
    }
    return { state: 'held' };
  }

  /** Throws `Superseded` where the object is not the one that was last written here. */
  async save(change: Partial<ShardProgress>): Promise<void> {
    const progress = { ...this.progress, ...change };
    const put = await write(this.#bucket, this.#key, progress, this.#etag);
    if (put === null) throw new Superseded(this.#key);
    this.progress = progress;
    this.#etag = put.etag;
  }

  /** Holds on for `leaseMs` from `now`. */
  holder(now: number, leaseMs: number): ShardProgress['holder'] {
    const { holder } = this.progress;
    return holder && { ...holder, until: now + leaseMs, token: crypto.randomUUID() };
  }

  /** Throws `Superseded` where somebody else has taken the shard. */
  async check(): Promise<void> {
    const there = await this.#bucket.head(this.#key);
    if (there?.etag !== this.#etag) throw new Superseded(this.#key);
  }
}

function write(bucket: Bucket, key: string, progress: ShardProgress, etag: string | undefined) {
  const { counts, piece, place, input, packed } = progress;
  const said = {
    ...{ seen: counts.seen, scored: counts.scored, pieces: piece, size: input.size },
    ...(packed ? {} : { offset: place.offset }),
  };
  return bucket.put(key, encodeJson(progress), {
    onlyIf: etag === undefined ? absent() : { etagMatches: etag },
    customMetadata: { progress: toHeader(said) },
  });
}
