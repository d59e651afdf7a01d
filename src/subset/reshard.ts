import { CancelledError, ShardError, type SkipReason, UsageError } from '../errors.ts';
import type { ByteSource, Folder } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import { ChunkPool } from '../io/pool.ts';
import { isSafeMemberName } from '../tar/names.ts';
import { type PairOptions, uidFromKey, uidIfKnown } from '../webdataset/pair.ts';
import { type RawSample, readSamples } from '../webdataset/samples.ts';
import { type OutputMember, type OutputShard, prepareOutput, ShardWriter } from './output.ts';
import { DEFAULT_SHARD_FORMAT, parseShardFormat } from './shard-names.ts';
import type { UidSet } from './uid-set.ts';

/**
 * Copies the samples that a subset names into new shards: a stream in, a stream out, in the order of the input
 * shards and their samples; one sample in memory at a time. Members' bytes are verbatim, and so are their names,
 * unless a sample of that key is in the output shard already.
 */

export interface ReshardInput {
  source: ByteSource;
  /** The shard's base name (`shardBaseName`), part of uids that come from the key. */
  shard: string;
}

export interface ReshardOptions {
  /** Where the uid comes from; must be what scoring used (`PairOptions.uid`). */
  uid?: string;
  /**
   * - `key` (default): names as they are; `<key>-1`, `<key>-2`, … where the key is taken
   * - `uid`: DataComp's names, `<uid>-<j>.<ext>` with j from 0
   */
  names?: 'key' | 'uid';
  /** Samples a shard; DataComp's 10,000 by default. */
  shardSize?: number;
  /** Bytes a shard; DataComp's 3e9 by default. */
  shardBytes?: number;
  /** Python's `str.format` syntax, `{:08d}.tar` by default. A prefix defeats DataComp's train.py. */
  shardFormat?: string;
  /** Write into a folder that is not Shardsieve's. */
  overwrite?: boolean;
  signal?: AbortSignal;
  gunzip?: Gunzip;
  onSample?: (kept: boolean) => void;
  /** Bytes of input as stored. */
  onBytes?: (bytes: number) => void;
  onInput?: (input: ReshardedInput) => void;
}

export interface ReshardedInput {
  shard: string;
  seen: number;
  /** Samples of it that were written, copies included. */
  written: number;
  /** The shard broke off or could not be read; what stands in `written` was whole. */
  error?: ShardError;
}

export interface ReshardReport {
  /** `seen = kept + dropped`: input samples. */
  seen: number;
  kept: number;
  dropped: number;
  /** Output samples: `kept`, and one more for each repeat in the subset. */
  written: number;
  /** Of `written`, those under another key because theirs was taken. */
  renamed: number;
  /** Of `written`, those under their uid because their name was not safe to unpack. */
  unsafe: number;
  /** Of `dropped`: samples of the subset that are damaged, by reason. */
  damaged: { [reason: string]: number };
  /** Of `dropped`: samples whose uid cannot be known, as their JSON is broken or says something else. */
  noUid: number;
  /** Different uids of the subset that no kept sample had, and the first of them in hex. */
  notFound: { count: number; first: string[] };
  shards: OutputShard[];
  inputs: ReshardedInput[];
}

const DEFAULT_SHARD_SIZE = 10_000;
const DEFAULT_SHARD_BYTES = 3e9;
/** Uids that are not found are named in a message, and a message is read by a person. */
const NAMED_NOT_FOUND = 5;

/**
 * An input that cannot be read stands in `inputs` with its error, and the others go on. Throws `OutputError` where
 * the folder cannot be written to, `UsageError`, and `CancelledError`; then the shard being written is not there.
 */
export async function reshard(
  inputs: Iterable<ReshardInput> | AsyncIterable<ReshardInput>,
  subset: UidSet,
  out: Folder,
  options: ReshardOptions = {},
): Promise<ReshardReport> {
  const names = parseShardFormat(options.shardFormat ?? DEFAULT_SHARD_FORMAT);
  if (Array.isArray(inputs)) refuseOwnInputs(inputs, out);
  await prepareOutput(out, names, options.overwrite ?? false);
  const writer = new ShardWriter(out, {
    names,
    shardSize: options.shardSize ?? DEFAULT_SHARD_SIZE,
    shardBytes: options.shardBytes ?? DEFAULT_SHARD_BYTES,
  });
  const copier = new Copier(subset, writer, options);
  try {
    for await (const input of inputs) {
      const report = await copier.copy(input);
      options.onInput?.(report);
    }
    const complete = copier.report.inputs.every(({ error }) => error === undefined);
    await writer.finish({ processed: copier.report.seen, complete });
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return copier.finish();
}

/**
 * Earlier shards of the output folder are removed, which must not be the inputs. Only names are seen here; a
 * platform that knows of links has to look further.
 */
function refuseOwnInputs(inputs: readonly ReshardInput[], out: Folder): void {
  const folder = out.label.replace(/\/+$/, '');
  const own = inputs.find(({ source }) => source.name.slice(0, source.name.lastIndexOf('/')) === folder);
  if (own)
    throw new UsageError('a shard cannot be resharded into its own folder', { shard: own.source.name });
}

class Copier {
  readonly report: Omit<ReshardReport, 'notFound' | 'shards'> = {
    seen: 0,
    kept: 0,
    dropped: 0,
    written: 0,
    renamed: 0,
    unsafe: 0,
    damaged: {},
    noUid: 0,
    inputs: [],
  };
  readonly #subset: UidSet;
  readonly #writer: ShardWriter;
  readonly #options: ReshardOptions;
  /** By the index of a uid's first entry in the subset. */
  readonly #found: Uint8Array;
  readonly #pool = new ChunkPool();

  constructor(subset: UidSet, writer: ShardWriter, options: ReshardOptions) {
    this.#subset = subset;
    this.#writer = writer;
    this.#options = options;
    this.#found = new Uint8Array(subset.size);
  }

  async copy({ source, shard }: ReshardInput): Promise<ReshardedInput> {
    const { signal, gunzip, onSample, onBytes } = this.#options;
    const pair: PairOptions = { shardBase: shard, uid: this.#options.uid };
    const input: ReshardedInput = { shard, seen: 0, written: 0 };
    this.report.inputs.push(input);
    try {
      const stream = counted(source.stream({ signal, pool: this.#pool }), onBytes);
      for await (const sample of readSamples(stream, { shard, signal, gunzip, pool: this.#pool })) {
        if (signal?.aborted) throw new CancelledError();
        const written = await this.#sample(sample, pair);
        input.seen++;
        this.report.seen++;
        input.written += written;
        this.report.written += written;
        if (written > 0) this.report.kept++;
        else this.report.dropped++;
        onSample?.(written > 0);
      }
    } catch (error) {
      if (!(error instanceof ShardError)) throw error;
      input.error = error;
    }
    return input;
  }

  finish(): ReshardReport {
    let count = 0;
    const first: string[] = [];
    const { uids } = this.#subset;
    for (let i = 0; i < this.#subset.size; i++) {
      const isRepeat = i > 0 && uids[2 * i] === uids[2 * i - 2] && uids[2 * i + 1] === uids[2 * i - 1];
      if (isRepeat || this.#found[i] !== 0) continue;
      count++;
      if (first.length < NAMED_NOT_FOUND) first.push(this.#subset.at(i));
    }
    return { ...this.report, notFound: { count, first }, shards: this.#writer.shards };
  }

  /** Writes a sample as often as the subset has it, and says how often that was. */
  async #sample(sample: RawSample, pair: PairOptions): Promise<number> {
    const uid = uidIfKnown(sample, pair);
    if (uid === undefined) {
      this.report.noUid++;
      return 0;
    }
    const index = this.#subset.find(uid);
    if (index < 0) return 0;
    const damage = damageOf(sample, uid, pair);
    if (damage !== undefined) {
      this.report.damaged[damage] = (this.report.damaged[damage] ?? 0) + 1;
      return 0;
    }
    const copies = this.#subset.count(uid);
    for (let copy = 0; copy < copies; copy++) await this.#write(sample, uid, copy);
    this.#found[index] = 1;
    return copies;
  }

  async #write(sample: RawSample, uid: string, copy: number): Promise<void> {
    const isSafe = sample.members.every(({ name }) => isSafeMemberName(name));
    const byUid = this.#options.names === 'uid';
    const base = byUid || !isSafe ? uid : sample.key;
    const named = (key: string): OutputMember[] =>
      sample.members.map(({ name, ext, bytes, mtime }) => ({
        name: byUid ? `${key}.${ext}` : `${key}${name.slice(sample.key.length)}`,
        bytes,
        mtime,
      }));
    await this.#writer.makeRoom(named(base));
    const first = byUid ? copy : 0;
    let j = first;
    let key = byUid ? `${base}-${j}` : base;
    while (this.#writer.has(key)) key = `${base}-${++j}`;
    if (!isSafe) this.report.unsafe++;
    else if (j > first) this.report.renamed++;
    await this.#writer.write(key, named(key));
  }
}

/** Why a sample of the subset cannot be copied whole. */
function damageOf(sample: RawSample, uid: string, pair: PairOptions): SkipReason | undefined {
  // An extension cannot be given another name without changing what it says.
  if (sample.members.some(({ ext }) => /[\\\0]/.test(ext))) return 'bad_member';
  if (sample.problem === undefined) return undefined;
  // A key that came before makes the same uid again, of which the first sample was meant; with a uid of its own in
  // the JSON the sample is whole, and only its name has to change.
  const isOther = sample.problem.reason === 'repeated_key' && uid !== uidFromKey(pair.shardBase, sample.key);
  return isOther ? undefined : sample.problem.reason;
}

async function* counted(
  stream: AsyncIterable<Uint8Array>,
  onBytes?: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of stream) {
    onBytes?.(chunk.length);
    yield chunk;
  }
}
