/**
 * Members of a tar to samples, by WebDataset's own rule (`tariterators.py`: `base_plus_ext`, `group_by_keys`).
 *
 * Contract
 * - A sample is a run of members of one key; members that are no regular file, whose names are `__…__`, or that have
 *   no key, are passed over and do not end the run. They are counted in `ReadTally`.
 * - Memory: two chunks of the source and one sample, at most `caps.sample` bytes and MAX_MEMBERS members.
 * - A sample is yielded once the header behind it, or the archive's end, was seen. Where the shard breaks off, the
 *   sample that was being read is not yielded: the `ShardError` names it in `where.key`, and it was the last one.
 * - What is wrong with a sample stands in `problem` and does not stop the shard; of several problems, the first.
 *   An extension that repeats in a sample is an error in webdataset, so is a GNU sparse file that it would unpack.
 */
import { ShardError, type SkipReason } from '../errors.ts';
import { type Gunzip, maybeGunzip } from '../io/gunzip.ts';
import type { ChunkPool } from '../io/pool.ts';
import { padding, quoteName } from '../tar/format.ts';
import { openTar, type TarEntry, type TarPlace } from '../tar/reader.ts';
import { SeenKeys } from './keys.ts';
import { isMetaName, splitMemberName } from './names.ts';

export interface Caps {
  /** Bytes of any one member but text. Pillow's own cap, 179 million pixels, is a larger file only if hardly packed. */
  member: number;
  /** Bytes of a `txt` or `json` member, packed or not: img2dataset's JSON with long EXIF stays below 1 MiB. */
  text: number;
  /** Bytes of all members of a sample together. */
  sample: number;
}

export const DEFAULT_CAPS: Caps = { member: 256 * 2 ** 20, text: 16 * 2 ** 20, sample: 512 * 2 ** 20 };

/** Members in one sample; real ones have three to ten. Empty members cost no bytes, so bytes alone do not bound them. */
export const MAX_MEMBERS = 1000;

export interface RawMember {
  /** Lower-cased, all behind the key's dot: `jpg`, `txt.gz`. */
  ext: string;
  /** The name as in the tar, for writing it again. */
  name: string;
  /** As in the tar: a member named `.gz` is still packed. */
  bytes: Uint8Array;
  /** Whether the extension ends in `gz`. */
  gz: boolean;
  /** Seconds since the epoch, as in the tar. */
  mtime: number;
}

export interface RawSample {
  key: string;
  /** In the tar's order; what a problem concerns is missing. */
  members: RawMember[];
  problem?: { reason: SkipReason; detail: string };
  /** Of the first member's header, in the unpacked tar. */
  offset: number;
  /**
   * `[start, end)` of its members in the unpacked tar, headers and padding included, also of those that are missing
   * from `members`; one range, unless members that are no sample's lie between.
   */
  ranges: [number, number][];
  /** Where it begins: with the keys of the samples before, reading can be taken up there. */
  place: TarPlace;
}

/** Where reading is taken up: before a sample. */
export interface ReadPlace extends TarPlace {
  /** The keys of all samples before; not changed. */
  seen: SeenKeys;
}

/** Members that belong to no sample, by kind. */
export interface ReadTally {
  notFiles: number;
  metaNames: number;
  noKey: number;
}

export interface ReadSamplesOptions {
  /** For messages. */
  shard: string;
  signal?: AbortSignal;
  caps?: Partial<Caps>;
  /** A platform's own gunzip; default one that runs anywhere. */
  gunzip?: Gunzip;
  /** Counted up while reading. */
  tally?: ReadTally;
  /** The stream begins at this place of the unpacked tar, and is not unpacked. */
  from?: ReadPlace;
  /**
   * The pool that the stream takes its chunks from. Members' bytes are then lent and not copied: they are good until
   * the next sample is asked for.
   */
  pool?: ChunkPool;
}

/**
 * @param stream the shard as stored; gzip is unpacked where the content says so.
 * Throws `ShardError` (see `tar/reader.ts`) after the samples that were whole, `CancelledError` on the signal.
 */
export async function* readSamples(
  stream: AsyncIterable<Uint8Array>,
  options: ReadSamplesOptions,
): AsyncGenerator<RawSample, void, undefined> {
  const { shard, signal, pool, from } = options;
  const caps = { ...DEFAULT_CAPS, ...options.caps };
  const tally = options.tally ?? { notFiles: 0, metaNames: 0, noKey: 0 };
  const seen = from === undefined ? new SeenKeys() : SeenKeys.decode(from.seen.encode());
  let current: Group | undefined;
  const inUseFrom = () => current?.sample.offset ?? Number.POSITIVE_INFINITY;
  const bytes = from === undefined ? maybeGunzip(stream, shard, options.gunzip) : stream;
  const tar = openTar(bytes, { shard, signal, pool, inUseFrom, from });
  try {
    for (let entry = await tar.next(); entry !== undefined; entry = tar.nextNow() ?? (await tar.next())) {
      const split = memberOf(entry, tally);
      if (split === undefined) continue;
      if (current?.sample.key !== split.key) {
        if (current !== undefined) yield current.sample;
        current = new Group(split.key, { offset: entry.offset, globals: tar.globals }, caps);
        if (!seen.add(split.key)) current.fail('repeated_key', 'the key was there before in this shard');
      }
      const waiting = current.add(entry, split.ext);
      if (waiting !== undefined) await waiting;
    }
  } catch (error) {
    // The sample that was being read is lost with the rest of the shard: the accounting needs its name.
    if (current !== undefined && error instanceof ShardError) {
      error.where.key = current.sample.key;
      error.message += `; the sample being read was ${quoteName(current.sample.key)}`;
    }
    throw error;
  } finally {
    // What is yielded below lies in memory that goes back to no pool any more.
    await tar.close();
  }
  if (current !== undefined) yield current.sample;
}

function memberOf(entry: TarEntry, tally: ReadTally): { key: string; ext: string } | undefined {
  if (entry.type !== 'file' && entry.type !== 'sparse') {
    tally.notFiles += 1;
    return undefined;
  }
  if (isMetaName(entry.name)) {
    tally.metaNames += 1;
    return undefined;
  }
  const split = splitMemberName(entry.name);
  if (split === undefined) tally.noKey += 1;
  return split;
}

/** The sample being read. */
class Group {
  readonly sample: RawSample;
  readonly #caps: Caps;
  readonly #extensions = new Set<string>();
  #bytes = 0;

  constructor(key: string, place: TarPlace, caps: Caps) {
    this.sample = { key, members: [], offset: place.offset, ranges: [], place };
    this.#caps = caps;
  }

  fail(reason: SkipReason, detail: string): void {
    this.sample.problem ??= { reason, detail };
  }

  /** Reads the member, or says why not; what is not read is skipped by the tar reader. */
  add(entry: TarEntry, ext: string): Promise<void> | undefined {
    const { members, ranges } = this.sample;
    const end = entry.dataOffset + entry.size + padding(entry.size);
    const last = ranges.at(-1);
    if (last?.[1] === entry.offset) last[1] = end;
    else ranges.push([entry.offset, end]);
    const cap = isText(ext) ? this.#caps.text : this.#caps.member;
    if (this.#extensions.has(ext)) {
      this.fail('repeated_member', `${quoteName(entry.name)}: its extension was there before in this sample`);
    } else if (entry.type === 'sparse') {
      this.fail('bad_member', `${quoteName(entry.name)} is a GNU sparse file, which is not read`);
    } else if (entry.size > cap) {
      this.fail('member_too_large', `${quoteName(entry.name)} has ${entry.size} bytes, the cap is ${cap}`);
    } else if (this.#bytes + entry.size > this.#caps.sample) {
      this.fail('member_too_large', `its members have more than ${this.#caps.sample} bytes together`);
    } else if (members.length >= MAX_MEMBERS) {
      this.fail('member_too_large', `it has more than ${MAX_MEMBERS} members`);
    } else {
      const bytes = entry.bytesNow(cap);
      if (bytes === undefined) return entry.bytes(cap).then((read) => this.#take(entry, ext, read));
      this.#take(entry, ext, bytes);
      return undefined;
    }
    this.#note(ext);
    return undefined;
  }

  #take({ name, mtime }: TarEntry, ext: string, bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    const gz = ext === 'gz' || ext.endsWith('.gz');
    this.sample.members.push({ ext, name, bytes, gz, mtime });
    this.#note(ext);
  }

  #note(ext: string): void {
    if (this.#extensions.size < MAX_MEMBERS) this.#extensions.add(ext);
  }
}

function isText(ext: string): boolean {
  return ext === 'txt' || ext === 'json' || ext === 'txt.gz' || ext === 'json.gz';
}
