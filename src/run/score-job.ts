import { CancelledError, MetadataError, ShardError } from '../errors.ts';
import type { Fit, ImageDecoder } from '../image/types.ts';
import type { ByteSource, Folder, SourceIdentity } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import { addColumns, commitShard } from '../metadata/commit.ts';
import { prepareFolder, readStats } from '../metadata/folder.ts';
import type { RunEntry } from '../metadata/run.ts';
import { conflictError, type ShardState, type ShardStats, shardState } from '../metadata/stats.ts';
import { type ScoredShard, type ScoreModel, scoreShard } from '../score/shard.ts';
import { VERSION } from '../version.ts';
import type { PairOptions } from '../webdataset/pair.ts';
import type { OnEvent } from './events.ts';
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
  pilot: Pilot;
  /** Compare finished shards by hash too, which reads them. */
  verifyInput: boolean;
  hasher(): Hasher;
  /** Milliseconds since the epoch. */
  now(): number;
  onEvent: OnEvent;
  signal?: AbortSignal;
}

interface Planned extends NamedSource {
  identity: SourceIdentity;
  state: ShardState['state'];
  /** Column groups to be made. */
  missing: string[];
  stats: ShardStats | undefined;
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
  const run = {
    shardsieve: VERSION,
    rows: job.rows,
    models: Object.fromEntries(job.models.map(({ slug, entry }) => [slug, entry])),
  };
  await prepareFolder(job.folder, run);
  const totals = emptyTotals();
  const plan = await planShards(job, totals);
  const pending = plan.filter(({ state }) => state !== 'done');
  totals.bytesTotal = sumSizes(plan);
  job.onEvent({
    type: 'plan',
    shards: plan.length + totals.shards.failed.length,
    pending: pending.length,
    reused: plan.length - pending.length,
    bytes: sumSizes(pending),
  });
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
      if (left <= 0) {
        totals.shards.untouched.push(item.shard);
        continue;
      }
      left -= await runShard(job, item, models, totals, left);
    }
  } finally {
    await models.release();
  }
  return totals;
}

/** Decides for each shard what there is to do, opening none. A missing input is a failure of its shard alone. */
async function planShards(job: ScoreJob, totals: ScoreTotals): Promise<Planned[]> {
  const groups = {
    rows: job.rows.fingerprint,
    ...Object.fromEntries(job.models.map(({ slug, entry }) => [`clip:${slug}`, entry.fingerprint])),
  };
  const embeddings = job.embeddings ? job.models.map(({ slug }) => slug) : [];
  const plan: Planned[] = [];
  for (const { shard, source } of job.sources) {
    try {
      const identity = await source.identity();
      const stats = await readStats(job.folder, shard);
      if (job.verifyInput && stats !== undefined) identity.sha256 = await hashOf(job, source);
      const { state, missing, conflicts } = shardState(stats, { input: identity, groups, embeddings });
      // What a pilot left of a shard counts for the same pilot only; anything else makes it again.
      if (stats?.pilot !== undefined && stats.pilot !== pilotOf(job.pilot) && state !== 'input_changed') {
        plan.push({
          shard,
          source,
          identity,
          state: 'absent',
          missing: Object.keys(groups),
          stats: undefined,
        });
        continue;
      }
      if (state === 'conflict') throw conflictError(job.folder.label, shard, conflicts[0]);
      plan.push({ shard, source, identity, state, missing, stats });
    } catch (error) {
      if (!(error instanceof ShardError)) throw error;
      fail(job, totals, shard, error);
    }
  }
  return plan;
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
      embeddings: job.embeddings,
      onSample: (outcome, position) => job.onEvent({ type: 'sample', outcome, position }),
      onBytes: (bytes) => {
        totals.bytesRead += bytes.byteLength;
        hash.update(bytes);
      },
      ...(Number.isFinite(left) ? { limit: left } : {}),
      ...(draw === undefined ? {} : { draw: (key: string) => draw(shard, key) }),
      signal: job.signal,
    });
    const input = scored.readToEnd ? { ...item.identity, sha256: hash.digest() } : item.identity;
    const stats = await commit(job, item, wanted, scored, input, started);
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

async function commit(
  job: ScoreJob,
  item: Planned,
  wanted: readonly WantedModel[],
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
  const groups = Object.fromEntries(wanted.map(({ slug, entry }) => [`clip:${slug}`, entry.fingerprint]));
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

/** Names a pilot in a shard's stats; a shard that a limit did not cut is as good as a whole run's. */
function pilotOf({ limit, sample }: Pilot): string | undefined {
  if (sample !== undefined) return `sample ${sample}${limit === undefined ? '' : `, limit ${limit}`}`;
  return limit === undefined ? undefined : `limit ${limit}`;
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

async function hashOf(job: ScoreJob, source: ByteSource): Promise<string> {
  const hash = job.hasher();
  for await (const chunk of source.stream({ signal: job.signal })) hash.update(chunk);
  return hash.digest();
}

function fail(job: ScoreJob, totals: ScoreTotals, shard: string, error: ShardError, bytes?: number): void {
  totals.shards.failed.push({ shard, problem: error.problem, message: error.message });
  job.onEvent({ type: 'shard', shard, bytes, state: 'failed', message: error.message });
}

function sumSizes(plan: readonly Planned[]): number | undefined {
  let sum = 0;
  for (const { identity } of plan) {
    if (identity.size === undefined) return undefined;
    sum += identity.size;
  }
  return sum;
}
