import { CancelledError, SampleError, ShardError } from '../errors.ts';
import { ChunkPool } from '../io/pool.ts';
import { isSafeMemberName } from '../tar/names.ts';
import type { UidSet } from '../uids/uid-set.ts';
import type { JsonObject } from '../webdataset/json.ts';
import { jsonOf, type PairOptions, uidFromKey, uidIfKnown } from '../webdataset/pair.ts';
import { type RawMember, type RawSample, readSamples } from '../webdataset/samples.ts';
import { type FaceOutcome, Faces } from './faces.ts';
import type { OutputMember, ShardWriter } from './output.ts';
import type { ReshardedInput, ReshardInput, ReshardOptions, ReshardReport } from './reshard.ts';
import { ShuffleBuffer } from './shuffle.ts';

/** Uids and samples that are named in a message, which a person reads. */
const NAMED = 5;

/** One output sample to be. */
interface Item {
  uid: string;
  key: string;
  members: readonly RawMember[];
  /** Which of the copies that the subset asks for, from 0. */
  copy: number;
}

/** Carries the samples of one input after another over to the writer, and keeps count. */
export class Copier {
  readonly report: Omit<ReshardReport, 'notFound' | 'shards'> = {
    seen: 0,
    kept: 0,
    dropped: 0,
    written: 0,
    renamed: 0,
    unsafe: 0,
    damaged: {},
    leftOut: [],
    noUid: 0,
    inputs: [],
  };
  readonly #subset: UidSet;
  readonly #writer: ShardWriter;
  readonly #options: ReshardOptions;
  readonly #faces: Faces | undefined;
  readonly #shuffle: ShuffleBuffer<Item> | undefined;
  /** By the index of a uid's first entry in the subset. */
  readonly #found: Uint8Array;
  readonly #pool = new ChunkPool();

  constructor(subset: UidSet, writer: ShardWriter, options: ReshardOptions) {
    const { faces, shuffleBuffer = 0, seed = 0 } = options;
    this.#subset = subset;
    this.#writer = writer;
    this.#options = options;
    this.#found = new Uint8Array(subset.size);
    if (faces !== undefined) {
      this.#faces = new Faces(faces);
      this.report.faces = this.#faces.counts;
    }
    if (shuffleBuffer > 0) this.#shuffle = new ShuffleBuffer(shuffleBuffer, seed);
  }

  /** Copies what the subset names of one input, but for its first `skip` samples, which were copied before. */
  async copy({ source, shard }: ReshardInput, skip = 0): Promise<ReshardedInput> {
    const { signal, gunzip, onSample, onBytes } = this.#options;
    const pair: PairOptions = { shardBase: shard, uid: this.#options.uid };
    const input: ReshardedInput = { shard, seen: 0, written: 0 };
    this.report.inputs.push(input);
    try {
      const stream = counted(source.stream({ signal, pool: this.#pool }), onBytes);
      for await (const sample of readSamples(stream, { shard, signal, gunzip, pool: this.#pool })) {
        if (signal?.aborted) throw new CancelledError();
        if (input.seen++ < skip) continue;
        const written = await this.#sample(sample, pair);
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

  /** Writes what the shuffle buffer still holds. */
  async drain(): Promise<void> {
    for (const item of this.#shuffle?.drain() ?? []) {
      if (this.#options.signal?.aborted) throw new CancelledError();
      await this.#write(item);
    }
  }

  /** Different uids of the subset that no kept sample had, and the first of them in hex. */
  notFound(): ReshardReport['notFound'] {
    let count = 0;
    const first: string[] = [];
    const { uids } = this.#subset;
    for (let i = 0; i < this.#subset.size; i++) {
      const isRepeat = i > 0 && uids[2 * i] === uids[2 * i - 2] && uids[2 * i + 1] === uids[2 * i - 1];
      if (isRepeat || this.#found[i] !== 0) continue;
      count++;
      if (first.length < NAMED) first.push(this.#subset.at(i));
    }
    return { count, first };
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
    const result = damageOf(sample, uid, pair) ?? (await this.#facesOf(sample, uid));
    if ('reason' in result) {
      this.report.damaged[result.reason] = (this.report.damaged[result.reason] ?? 0) + 1;
      if (this.report.leftOut.length < NAMED) {
        this.report.leftOut.push({ shard: pair.shardBase, key: sample.key, uid, ...result });
      }
      return 0;
    }
    // What waits in the shuffle buffer outlives the chunks that the sample lies in.
    const members = this.#shuffle === undefined ? result.members : result.members.map(owned);
    const copies = this.#subset.count(uid);
    for (let copy = 0; copy < copies; copy++) await this.#pass({ uid, key: sample.key, members, copy });
    this.#found[index] = 1;
    return copies;
  }

  async #facesOf(sample: RawSample, uid: string): Promise<FaceOutcome> {
    if (this.#faces === undefined) return sample;
    let json: JsonObject | undefined;
    try {
      json = jsonOf(sample);
    } catch (error) {
      // A JSON that nobody can read may have had boxes.
      if (!(error instanceof SampleError)) throw error;
      if (this.#options.faces?.table === undefined) return { reason: error.reason, detail: error.message };
    }
    return this.#faces.apply(sample, uid, json);
  }

  async #pass(item: Item): Promise<void> {
    const out = this.#shuffle === undefined ? item : this.#shuffle.push(item);
    if (out !== undefined) await this.#write(out);
  }

  async #write({ uid, key: own, members, copy }: Item): Promise<void> {
    const isSafe = members.every(({ name }) => isSafeMemberName(name));
    const byUid = this.#options.names === 'uid';
    const base = byUid || !isSafe ? uid : own;
    // webdataset's writer, and so DataComp's resharder, puts a sample's members in the order of their extensions.
    const ordered = byUid ? [...members].sort((a, b) => (a.ext < b.ext ? -1 : 1)) : members;
    const named = (key: string): OutputMember[] =>
      ordered.map(({ name, ext, bytes, mtime }) => ({
        name: byUid ? `${key}.${ext}` : `${key}${name.slice(own.length)}`,
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

function owned(member: RawMember): RawMember {
  return { ...member, bytes: member.bytes.slice() };
}

/** Why a sample of the subset cannot be copied whole. */
function damageOf(
  sample: RawSample,
  uid: string,
  pair: PairOptions,
): { reason: string; detail: string } | undefined {
  // An extension cannot be given another name without changing what it says.
  const bad = sample.members.find(({ ext }) => /[\\\0]/.test(ext));
  if (bad !== undefined) {
    return { reason: 'bad_member', detail: `the extension ${JSON.stringify(bad.ext)} cannot be written` };
  }
  if (sample.problem === undefined) return undefined;
  // A key that came before makes the same uid again, of which the first sample was meant; with a uid of its own in
  // the JSON the sample is whole, and only its name has to change.
  const isOther = sample.problem.reason === 'repeated_key' && uid !== uidFromKey(pair.shardBase, sample.key);
  return isOther ? undefined : sample.problem;
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
