import { realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { UsageError } from '../../src/errors.ts';
import type { OnEvent } from '../../src/run/events.ts';
import type { NamedSource } from '../../src/run/score-job.ts';
import { type ReshardReport, reshard } from '../../src/subset/reshard.ts';
import { openRetry } from '../../src/subset/resharded.ts';
import { shardNumber } from '../../src/subset/shard-names.ts';
import { readSubset } from '../../src/uids/npy.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { openFolder } from '../io/folder.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { type FaceFlags, openFaces } from './faces.ts';
import { openShards, type Shards } from './shards.ts';

export interface ReshardOptions extends Shards, FaceFlags {
  /** The subset file: `u8,u8` npy, or raw 16-byte records. */
  subset: string;
  out: string;
  /** Where uids come from; must be what scoring used. */
  uid?: string;
  /** `key` (default) keeps members' names; `uid` gives DataComp's. */
  names?: 'key' | 'uid';
  /** Samples an output shard, 10,000 by default. */
  shardSize?: number;
  /** Bytes at which an output shard is closed, 3e9 by default. */
  shardBytes?: number;
  /** Python's `str.format` syntax, `{:08d}.tar` by default. */
  shardFormat?: string;
  /** Number of the first output shard, 0 by default. */
  outputFirstShard?: number;
  /** Read only the shards whose names have numbers from this one on, and so many numbers. */
  firstShard?: number;
  numShards?: number;
  /** Samples in the shuffle buffer, 0 (none) by default, and its seed. */
  shuffleBuffer?: number;
  seed?: number;
  /** Write into a folder that is not Shardsieve's. */
  overwrite?: boolean;
  /** Count everything and write nothing. */
  dryRun?: boolean;
  /** Complete an earlier run into `out`: read only the inputs that failed there. */
  retryFailed?: boolean;
  /** Read only these of the shards, by base name. */
  only?: ReadonlySet<string>;
  onEvent?: OnEvent;
  signal?: AbortSignal;
}

/**
 * Copies the samples that a subset names into new shards, in input order and verbatim. Inputs that cannot be read
 * are in the report; the others go on. Throws `UsageError`, `MetadataError`, `OutputError`, `CancelledError`.
 */
export async function reshardShards(options: ReshardOptions): Promise<ReshardReport> {
  const onEvent = options.onEvent ?? (() => {});
  const { only } = options;
  const opened = inRange(await openShards(options), options);
  await refuseOwnInputs(opened, options.out);
  const subset = new UidSet(
    await readSubset(openFolder(dirname(options.subset), { readOnly: true }), basename(options.subset)),
  );
  const out = openFolder(options.out, { readOnly: options.dryRun });
  const retry = options.retryFailed ? await openRetry(out, subset) : undefined;
  const failed = retry && new Set(retry.failed.map(({ shard }) => shard));
  const sources = opened.filter(({ shard }) => (only?.has(shard) ?? true) && (failed?.has(shard) ?? true));
  const files = sources.map(({ source }) => source.name);
  const faces = await openFaces(options, subset, files);
  let total: number | undefined = 0;
  for (const { source } of sources) {
    // A missing input is named when its turn comes.
    const size = await source.identity().then(
      (identity) => identity.size,
      () => 0,
    );
    total = total === undefined || size === undefined ? undefined : total + size;
  }
  onEvent({ type: 'plan', shards: sources.length, pending: sources.length, reused: 0, bytes: total });
  const { uid, names, shardSize, shardBytes, shardFormat, outputFirstShard, signal } = options;
  const { shuffleBuffer, seed, overwrite, dryRun } = options;
  return reshard(sources, subset, out, {
    ...{ uid, names, shardSize, shardBytes, shardFormat, outputFirstShard, signal },
    ...{ shuffleBuffer, seed, overwrite, dryRun, faces, retry },
    gunzip: gunzipNode,
    onSample: (kept) => onEvent({ type: 'sample', outcome: kept ? 'scored' : 'skipped' }),
    onBytes: (bytes) => onEvent({ type: 'bytes', bytes }),
    onInput: ({ shard, error }) =>
      onEvent({
        type: 'shard',
        shard,
        state: error === undefined ? 'done' : error.problem === 'truncated' ? 'truncated' : 'failed',
        ...(error === undefined ? {} : { message: error.message }),
      }),
  });
}

/** DataComp's `--first-shard` and `--num-shards`: by the numbers in the names, in which gaps are normal. */
function inRange(
  sources: NamedSource[],
  { firstShard, numShards }: Pick<ReshardOptions, 'firstShard' | 'numShards'>,
): NamedSource[] {
  if (firstShard === undefined && numShards === undefined) return sources;
  const first = firstShard ?? 0;
  const end = first + (numShards ?? Number.POSITIVE_INFINITY);
  const chosen = sources.filter(({ source, shard }) => {
    const number = shardNumber(shard);
    if (number !== undefined) return number >= first && number < end;
    throw new UsageError('shards are to be chosen by number, and this name has none', { shard: source.name });
  });
  if (chosen.length > 0) return chosen;
  throw new UsageError(`none of the ${sources.length} shards has a number from ${first} to ${end - 1}`, {
    hint: 'The numbers are those in the names of the files',
  });
}

/** A run into a folder that holds its own inputs would replace them. Links are followed. Throws `UsageError`. */
async function refuseOwnInputs(sources: readonly NamedSource[], out: string): Promise<void> {
  const target = await realpath(out).catch(() => undefined);
  if (target === undefined) return;
  const folders = new Set(sources.map(({ source }) => dirname(source.name)));
  for (const folder of folders) {
    if ((await realpath(folder).catch(() => undefined)) === target) {
      throw new UsageError(`the new shards would be written among their inputs, in ${out}`, {
        hint: 'Give another --out',
      });
    }
  }
}
