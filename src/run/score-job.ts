import { punsafeFor } from '../annotate/punsafe.ts';
import type { Annotator } from '../annotate/types.ts';
import { CancelledError } from '../errors.ts';
import type { Fit, ImageDecoder } from '../image/types.ts';
import type { ByteSource, Folder } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import { inspectFolder, prepareFolder } from '../metadata/folder.ts';
import type { PartRecord } from '../metadata/outcome.ts';
import type { RunEntry } from '../metadata/run.ts';
import { Budget } from '../score/ahead.ts';
import type { Gate } from '../score/gate.ts';
import type { ScoreModel } from '../score/shard.ts';
import type { Watch } from '../score/stages.ts';
import { VERSION } from '../version.ts';
import type { PairOptions } from '../webdataset/pair.ts';
import type { OnEvent } from './events.ts';
import { inLanes } from './lanes.ts';
import { LoadedModels } from './loaded-models.ts';
import { recordPart, recordUnfinished } from './outcome.ts';
import { runShard } from './run-shard.ts';
import { type Planned, pendingOf, planShards, sumSizes } from './score-plan.ts';
import { addStats, emptyTotals, type ScoreTotals, sortShards } from './totals.ts';

/** A model that a run wants: what it is, known before anything is loaded, and how to load it. */
export interface WantedModel {
  slug: string;
  /** For `run.json`; its `fingerprint` is that of the column group `clip:<slug>`. */
  entry: RunEntry;
  /** `copy`: for which of `devices`, the first where absent. */
  load(copy?: number): Promise<ScoreModel>;
  /** What runs it, a name a copy: shards are spread over them. One, the provider's own, where absent. */
  devices?: readonly string[];
}

/** A shard of a run, under the base name by which its outputs are called. */
export interface NamedSource {
  shard: string;
  source: ByteSource;
}

/** Incremental SHA-256; a platform's own is several times faster than JavaScript's. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Hex. */
  digest(): string;
}

export interface Pilot {
  /** Samples of the whole run. */
  limit?: number;
  /** Share of the samples, and the rule that draws them. */
  sample?: number;
  draw?: (shard: string, key: string) => boolean;
}

export interface ScoreJob {
  sources: readonly NamedSource[];
  models: readonly WantedModel[];
  folder: Folder;
  decoder: ImageDecoder;
  /** A platform's own gunzip; default one that runs anywhere. */
  gunzip?: Gunzip;
  fit: Fit;
  pair: Omit<PairOptions, 'shardBase'>;
  /** What decides the rows; its `fingerprint` is that of the group `rows`. */
  rows: RunEntry;
  embeddings: boolean;
  /** Drops samples before they are decoded; what it goes by stands in `rows.gate`. */
  gate?: Gate;
  /** Columns to be made in the same pass, of pixels and embeddings that are there anyway. */
  annotators?: readonly Annotator[];
  pilot: Pilot;
  /** Compare finished shards by hash too, which reads them. */
  verifyInput: boolean;
  /** The sources are one part of a list that several machines share. */
  part?: PartRecord;
  /** Score only what failed or ended early in an earlier run; what was never reached stays so. */
  retryFailed?: boolean;
  /** Stop before the next shard when more than this many failed. */
  maxFailed?: number;
  /** Whether a shard that ended early counts as failed there. */
  allowTruncated?: boolean;
  hasher(): Hasher;
  /** Milliseconds since the epoch. */
  now(): number;
  onEvent: OnEvent;
  watch?: Watch;
  signal?: AbortSignal;
}

/** Shards under way on a device: one that is read and decoded, and one before it that the towers finish. */
const SHARDS_A_DEVICE = 2;

/**
 * Scores what is missing of a set of shards into a metadata folder. Finished shards are recognised from their
 * stats before they are opened; a shard is committed whole or not at all; a shard that fails does not stop the
 * others.
 *
 * Throws `MetadataError` where the folder holds numbers made otherwise, `OutputError` where nothing can be
 * written, `CancelledError` on abort; shard failures are in the totals.
 */
export async function scoreShards(job: ScoreJob): Promise<ScoreTotals> {
  const annotators = await withDerived(job);
  const groups = Object.fromEntries(annotators.map(({ group, entry }) => [group, entry]));
  const run = {
    ...(annotators.length > 0 ? { groups } : {}),
    shardsieve: VERSION,
    rows: job.rows,
    models: Object.fromEntries(job.models.map(({ slug, entry }) => [slug, entry])),
  };
  await prepareFolder(job.folder, run);
  if (job.part !== undefined) await recordPart(job.folder, job.part);
  const totals = emptyTotals();
  const plan = await planShards(job, annotators, totals);
  const isPending = await pendingOf(job, plan);
  const pending = plan.filter(isPending);
  totals.bytesTotal = sumSizes(plan);
  job.onEvent({
    type: 'plan',
    shards: plan.length + totals.shards.failed.length,
    pending: pending.length,
    reused: plan.filter(({ state }) => state === 'done').length,
    bytes: sumSizes(pending),
  });
  // Before anything is scored: a run that is killed leaves it behind.
  await recordOutcome(
    job,
    totals,
    pending.map(({ shard }) => shard),
  );
  // A pilot's limit is counted in the order of the shards.
  const devices = job.pilot.limit === undefined ? (job.models[0]?.devices?.length ?? 1) : 1;
  // Whether failures stop a run before its next shard is known when a shard is done.
  const isCounted = job.pilot.limit !== undefined || job.maxFailed !== undefined;
  const lanes = isCounted ? devices : devices * SHARDS_A_DEVICE;
  const shared = Array.from({ length: devices }, (_, device) => ({
    models: new LoadedModels(job.onEvent, job.now, device),
    reading: new Budget(1),
    totals,
  }));
  let left = job.pilot.limit ?? Number.POSITIVE_INFINITY;
  try {
    const work = async (item: Planned, lane: number, signal: AbortSignal): Promise<void> => {
      if (signal.aborted) throw new CancelledError();
      if (item.state === 'done') {
        addStats(totals, item.stats!);
        totals.shards.reused.push(item.shard);
        if (item.stats!.truncated) totals.shards.truncated.push(item.shard);
        left -= item.stats!.seen;
        job.onEvent({ type: 'shard', shard: item.shard, state: 'reused' });
        return;
      }
      if (left <= 0 || !isPending(item) || tooManyFailed(job, totals)) {
        totals.shards.untouched.push(item.shard);
        return;
      }
      left -= await runShard({ ...job, signal }, item, shared[lane % devices], left);
    };
    await inLanes(plan, lanes, work, job.signal);
  } finally {
    await Promise.all(shared.map(({ models }) => models.release()));
  }
  totals.towers = shared.flatMap(({ models }) => models.runs);
  if (lanes > 1) sortShards(totals, plan);
  await recordOutcome(job, totals, totals.shards.untouched);
  if (tooManyFailed(job, totals) && totals.shards.untouched.length > 0) {
    job.onEvent({ type: 'note', text: 'stopped, as more shards failed than --max-failed allows' });
  }
  return totals;
}

/** The annotators, and what is made of their groups and of others that the folder has. */
async function withDerived({ folder, annotators = [] }: ScoreJob): Promise<Annotator[]> {
  if (annotators.length === 0) return [];
  const derived = await punsafeFor(await inspectFolder(folder), annotators);
  return [...annotators, ...(derived === undefined ? [] : [derived])];
}

function recordOutcome(job: ScoreJob, { shards }: ScoreTotals, pending: string[]): Promise<void> {
  const finished = [...shards.done, ...shards.reused];
  return recordUnfinished(job.folder, job.part, { pending, failed: shards.failed, finished });
}

function tooManyFailed({ maxFailed, allowTruncated }: ScoreJob, { shards }: ScoreTotals): boolean {
  if (maxFailed === undefined) return false;
  return shards.failed.length + (allowTruncated ? 0 : shards.truncated.length) > maxFailed;
}
