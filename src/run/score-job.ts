import { outdates } from '../annotate/own.ts';
import { punsafeFor } from '../annotate/punsafe.ts';
import { annotateTable } from '../annotate/table.ts';
import { type Annotator, needsPictures } from '../annotate/types.ts';
import { CancelledError, MetadataError, ShardError } from '../errors.ts';
import type { Fit, ImageDecoder } from '../image/types.ts';
import type { ByteSource, Folder, SourceIdentity } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import type { ColumnGroup } from '../metadata/columns.ts';
import { addColumns, commitShard } from '../metadata/commit.ts';
import { inspectFolder, prepareFolder } from '../metadata/folder.ts';
import type { PartRecord } from '../metadata/outcome.ts';
import type { RunEntry } from '../metadata/run.ts';
import type { ShardStats } from '../metadata/stats.ts';
import { type ScoredShard, type ScoreModel, scoreShard } from '../score/shard.ts';
import { VERSION } from '../version.ts';
import type { PairOptions } from '../webdataset/pair.ts';
import type { OnEvent } from './events.ts';
import { recordPart, recordUnfinished } from './outcome.ts';
import { fail, type Planned, pendingOf, pilotOf, planShards, sumSizes } from './score-plan.ts';
import { addStats, emptyTotals, type ScoreTotals } from './totals.ts';

/** A model that a run wants: what it is, known before anything is loaded, and how to load it. */
export interface WantedModel {
  slug: string;
  /** For `run.json`; its `fingerprint` is that of the column group `clip:<slug>`. */
  entry: RunEntry;
  load(): Promise<ScoreModel>;
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
  signal?: AbortSignal;
}

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
  const models = new LoadedModels(job);
  let left = job.pilot.limit ?? Number.POSITIVE_INFINITY;
  try {
    for (const item of plan) {
      if (job.signal?.aborted) throw new CancelledError();
      if (item.state === 'done') {
        addStats(totals, item.stats!);
        totals.shards.reused.push(item.shard);
        if (item.stats!.truncated) totals.shards.truncated.push(item.shard);
        left -= item.stats!.seen;
        job.onEvent({ type: 'shard', shard: item.shard, state: 'reused' });
        continue;
      }
      if (left <= 0 || !isPending(item) || tooManyFailed(job, totals)) {
        totals.shards.untouched.push(item.shard);
        continue;
      }
      left -= await runShard(job, item, models, totals, left);
    }
  } finally {
    await models.release();
  }
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

/** Scores one shard and commits it. Returns the number of samples that it took from a pilot's limit. */
async function runShard(
  job: ScoreJob,
  item: Planned,
  models: LoadedModels,
  totals: ScoreTotals,
  left: number,
): Promise<number> {
  const { shard, source, state } = item;
  const adding = state === 'missing_groups';
  const wanted = job.models.filter(({ slug }) => !adding || item.missing.includes(`clip:${slug}`));
  const slugs = new Set(wanted.map(({ slug }) => `embeddings:${slug}`));
  const annotators = item.annotators.filter(({ needs }) =>
    needs.every((need) => (need.startsWith('embeddings:') ? slugs.has(need) : !adding || need === 'text')),
  );
  const pictured = annotators.filter(needsPictures);
  const { draw } = job.pilot;
  const hash = job.hasher();
  const started = job.now();
  try {
    const scored = await scoreShard(source, {
      shard,
      models: await models.get(wanted),
      decoder: job.decoder,
      fit: job.fit,
      gunzip: job.gunzip,
      pair: job.pair,
      embeddings: job.embeddings || annotators.some(({ needs }) => needs.some((need) => slugs.has(need))),
      judges: pictured.map(({ pictures }) => pictures),
      onSample: (outcome, position) => job.onEvent({ type: 'sample', outcome, position }),
      onBytes: (bytes) => {
        totals.bytesRead += bytes.byteLength;
        hash.update(bytes);
      },
      ...(Number.isFinite(left) ? { limit: left } : {}),
      ...(draw === undefined ? {} : { draw: (key: string) => draw(shard, key) }),
      signal: job.signal,
    });
    const judged = new Map(pictured.map((annotator, i) => [annotator, scored.judged[i]]));
    const groups = await annotateTable({ shard, table: scored.table, judged }, annotators);
    if (!job.embeddings) {
      scored.table.clips = scored.table.clips.map(({ image: _, text: __, ...scores }) => scores);
    }
    const input = scored.readToEnd ? { ...item.identity, sha256: hash.digest() } : item.identity;
    const stats = await commit(job, item, { wanted, annotators, groups }, scored, input, started);
    addStats(totals, stats);
    totals.passedOver += scored.counts.passedOver;
    totals.shards.done.push(shard);
    if (scored.truncated) totals.shards.truncated.push(shard);
    job.onEvent({
      type: 'shard',
      shard,
      bytes: item.identity.size,
      state: scored.truncated ? 'truncated' : 'done',
      ...(scored.truncated ? { message: scored.truncated.message } : {}),
    });
    return scored.counts.seen + scored.counts.passedOver;
  } catch (error) {
    if (!(error instanceof ShardError)) throw error;
    fail(job, totals, shard, error, item.identity.size);
    return 0;
  }
}

/** What one pass made of a shard. */
interface Made {
  wanted: readonly WantedModel[];
  annotators: readonly Annotator[];
  groups: ColumnGroup[];
}

async function commit(
  job: ScoreJob,
  item: Planned,
  { wanted, annotators, groups: added }: Made,
  scored: ScoredShard,
  input: SourceIdentity,
  started: number,
): Promise<ShardStats> {
  const { counts, table } = scored;
  const ended = job.now();
  const times = {
    start_time: new Date(started).toISOString(),
    end_time: new Date(ended).toISOString(),
    seconds: (ended - started) / 1000,
  };
  const made = annotators.filter(({ group }) => added.some(({ name }) => name === group));
  const groups = Object.fromEntries([
    ...wanted.map(({ slug, entry }) => [`clip:${slug}`, entry.fingerprint]),
    ...made.map(({ group, fingerprint }) => [group, fingerprint]),
  ]);
  const pilot = pilotOf(job.pilot);
  const complete = pilot === undefined || (job.pilot.sample === undefined && !scored.cut);
  const { shard, stats: old } = item;
  if (old !== undefined && old.pilot === undefined && !complete) {
    throw new MetadataError(`${job.folder.label} holds all of a shard, and a pilot takes a part of it`, {
      shard,
      hint: 'Write the pilot to another --out',
    });
  }
  const before = old?.input.sha256;
  if (item.state === 'missing_groups' && before !== undefined && (input.sha256 ?? before) !== before) {
    throw new ShardError(
      'unreadable',
      'its bytes changed since it was scored, though its size and time did not',
      {
        shard,
        hint: 'Add --verify-input to have it scored again',
      },
    );
  }
  if (item.state === 'missing_groups' || isSameShard(old, input, counts)) {
    return addColumns(job.folder, shard, {
      uids: table.rows.map(({ uid }) => uid),
      clips: table.clips,
      groups: added,
      outdated: outdates(made),
      stats: { groups, input, captionsTruncated: counts.captionsTruncated, ...times },
    });
  }
  const lost = Object.keys(old?.groups ?? {}).filter((group) => group !== 'rows' && !(group in groups));
  if (lost.length > 0) {
    job.onEvent({
      type: 'note',
      text: `${shard} is another input than ${lost.join(', ')} was made from: those columns are gone until scored again`,
    });
  }
  return commitShard(job.folder, shard, {
    table,
    groups: added,
    skipped: scored.skipped,
    stats: {
      input,
      seen: counts.seen,
      scored: counts.scored,
      skipped: counts.skipped,
      ...(scored.truncated ? { truncated: true as const } : {}),
      ...(complete ? {} : { pilot }),
      captionsTruncated: counts.captionsTruncated,
      ...times,
      groups: { rows: job.rows.fingerprint, ...groups },
    },
  });
}

/** Whether what looked like another input (another time, a stream) turned out to be the same bytes. */
function isSameShard(
  old: ShardStats | undefined,
  input: SourceIdentity,
  { seen, scored }: ScoredShard['counts'],
): boolean {
  if (old === undefined || old.pilot !== undefined || old.input.sha256 === undefined) return false;
  return old.input.sha256 === input.sha256 && old.seen === seen && old.scored === scored;
}

/** Loads each model once, when the first shard needs it: a run that finds everything done loads none. */
class LoadedModels {
  readonly #job: ScoreJob;
  readonly #loaded = new Map<string, ScoreModel>();

  constructor(job: ScoreJob) {
    this.#job = job;
  }

  async get(wanted: readonly WantedModel[]): Promise<ScoreModel[]> {
    const models: ScoreModel[] = [];
    for (const want of wanted) {
      let model = this.#loaded.get(want.slug);
      if (model === undefined) {
        model = await want.load();
        this.#loaded.set(want.slug, model);
        const { clip } = model;
        this.#job.onEvent({ type: 'model', slug: want.slug, text: `${clip.precision} on ${clip.provider}` });
      }
      models.push(model);
    }
    return models;
  }

  async release(): Promise<void> {
    await Promise.all([...this.#loaded.values()].map(({ clip }) => clip.release()));
  }
}
