import { type ShardError, UsageError } from '../errors.ts';
import type { ByteSource, Folder } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import { writeSubset } from '../uids/npy.ts';
import type { UidSet } from '../uids/uid-set.ts';
import { Copier } from './copier.ts';
import { withoutWrites } from './dry.ts';
import type { FaceCounts, FaceOptions } from './faces.ts';
import { type OutputShard, prepareOutput, SAMPLE_IDS, ShardWriter } from './output.ts';
import { type Retry, removeUncounted } from './resharded.ts';
import { DEFAULT_SHARD_FORMAT, parseShardFormat } from './shard-names.ts';

/**
 * Copies the samples that a subset names into new shards: a stream in, a stream out, in the order of the input
 * shards and their samples, or shuffled; one sample in memory at a time, and those in the shuffle buffer. Members'
 * bytes are verbatim unless faces are blurred, and so are their names, unless a sample of that key is in the output
 * shard already.
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
  /** Number of the first output shard, 0 by default. */
  outputFirstShard?: number;
  /** Samples in the shuffle buffer; 0, the default, keeps the order of the input. */
  shuffleBuffer?: number;
  /** Of the shuffle buffer, 0 by default: the same seed, the same order. */
  seed?: number;
  /** Blur faces, or write their boxes into the JSON. */
  faces?: FaceOptions;
  /** Write into a folder that is not Shardsieve's. */
  overwrite?: boolean;
  /** Count everything and write nothing. */
  dryRun?: boolean;
  /** Complete an earlier run: `inputs` are those that failed there, and their samples come after what it wrote. */
  retry?: Retry;
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
  /** Of `dropped`: samples of the subset that are damaged, or whose faces cannot be blurred, by reason. */
  damaged: { [reason: string]: number };
  /** The first of those. */
  leftOut: { shard: string; key: string; uid: string; reason: string; detail: string }[];
  /** Where faces were asked for. */
  faces?: FaceCounts;
  /** Of `dropped`: samples whose uid cannot be known, as their JSON is broken or says something else. */
  noUid: number;
  /** Different uids of the subset that no kept sample had, and the first of them in hex. */
  notFound: { count: number; first: string[] };
  shards: OutputShard[];
  inputs: ReshardedInput[];
}

const DEFAULT_SHARD_SIZE = 10_000;
const DEFAULT_SHARD_BYTES = 3e9;

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
  const { retry } = options;
  const names = parseShardFormat(retry?.format ?? options.shardFormat ?? DEFAULT_SHARD_FORMAT);
  if (Array.isArray(inputs)) refuseOwnInputs(inputs, out);
  const folder = options.dryRun ? withoutWrites(out) : out;
  if (retry === undefined) await prepareOutput(folder, names, options.overwrite ?? false);
  else await removeUncounted(folder, retry);
  const writer = new ShardWriter(folder, {
    names,
    shardSize: options.shardSize ?? DEFAULT_SHARD_SIZE,
    shardBytes: options.shardBytes ?? DEFAULT_SHARD_BYTES,
    firstShard: retry?.firstShard ?? options.outputFirstShard,
    earlier: retry?.shards,
  });
  const copier = new Copier(subset, writer, options);
  const { report } = copier;
  try {
    for await (const input of inputs) {
      const before = retry?.failed.find(({ shard }) => shard === input.shard);
      const copied = await copier.copy(input, before?.seen);
      options.onInput?.(copied);
    }
    await copier.drain();
    await writeSubset(folder, SAMPLE_IDS, subset.uids, { multiset: true });
    const failed = failuresOf(report, retry);
    const complete = failed.length === 0;
    const { shuffleBuffer = 0, seed = 0 } = options;
    const more = {
      ...(shuffleBuffer > 0 ? { shuffle_buffer: shuffleBuffer, seed } : {}),
      blur_count: (retry?.blurred ?? 0) + (report.faces?.blurred ?? 0),
      ...(complete ? {} : { failed }),
    };
    await writer.finish({ processed: (retry?.processed ?? 0) + report.seen, complete, more });
  } catch (error) {
    await writer.abort();
    throw error;
  }
  // What is not in the inputs that failed was found in the others.
  const notFound = retry === undefined ? copier.notFound() : { count: 0, first: [] };
  return { ...report, notFound, shards: writer.shards };
}

/** The inputs that are still to be read to their end, those of an earlier run that this one was not given included. */
function failuresOf({ inputs }: Pick<ReshardReport, 'inputs'>, retry: Retry | undefined) {
  const given = new Set(inputs.map(({ shard }) => shard));
  const earlier = (retry?.failed ?? []).filter(({ shard }) => !given.has(shard));
  const now = inputs.flatMap(({ shard, seen, error }) =>
    error === undefined ? [] : [{ shard, problem: error.problem, seen }],
  );
  return [...earlier, ...now].map(({ shard, problem, seen }) => ({ shard, problem, seen }));
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
