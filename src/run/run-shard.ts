/** One shard of a run: scored, and committed whole or not at all. */
import { outdates } from '../annotate/own.ts';
import { annotateTable } from '../annotate/table.ts';
import { type Annotator, needsPictures } from '../annotate/types.ts';
import { CancelledError, MetadataError, ShardError } from '../errors.ts';
import type { SourceIdentity } from '../io/bytes.ts';
import type { ColumnGroup } from '../metadata/columns.ts';
import { addColumns, commitShard } from '../metadata/commit.ts';
import type { ShardStats } from '../metadata/stats.ts';
import type { Budget } from '../score/ahead.ts';
import { type ScoredShard, scoreShard } from '../score/shard.ts';
import { UNWATCHED, watched } from '../score/stages.ts';
import type { LoadedModels } from './loaded-models.ts';
import type { ScoreJob, WantedModel } from './score-job.ts';
import { fail, type Planned, pilotOf } from './score-plan.ts';
import { addStats, type ScoreTotals } from './totals.ts';

/** What shards of one run share. */
export interface Shared {
  models: LoadedModels;
  /** Held while a shard is read and decoded: the next one begins when the towers have but the last batches to do. */
  reading: Budget;
  totals: ScoreTotals;
}

/** Scores one shard and commits it. Returns the number of samples that it took from a pilot's limit. */
export async function runShard(job: ScoreJob, item: Planned, shared: Shared, left: number): Promise<number> {
  const { reading } = shared;
  await reading.take(1);
  if (job.signal?.aborted) {
    reading.give(1);
    throw new CancelledError();
  }
  let isReading = true;
  const onPrepared = (): void => {
    if (isReading) reading.give(1);
    isReading = false;
  };
  const end = job.watch?.begin('shard', { shard: item.shard });
  try {
    return await scoreAndCommit(job, item, shared, left, onPrepared);
  } finally {
    end?.();
    onPrepared();
  }
}

async function scoreAndCommit(
  job: ScoreJob,
  item: Planned,
  { models, totals }: Shared,
  left: number,
  onPrepared: () => void,
): Promise<number> {
  const { shard, source, state } = item;
  const { watch = UNWATCHED } = job;
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
      gate: job.gate,
      digest: (bytes) => {
        const hash = job.hasher();
        hash.update(bytes);
        return hash.digest();
      },
      onSample: (outcome, position) => job.onEvent({ type: 'sample', outcome, position, shard }),
      onBytes: (bytes) => {
        totals.bytesRead += bytes.byteLength;
        hash.update(bytes);
      },
      ...(Number.isFinite(left) ? { limit: left } : {}),
      ...(draw === undefined ? {} : { draw: (key: string) => draw(shard, key) }),
      ...{ onPrepared, watch },
      signal: job.signal,
    });
    const judged = new Map(pictured.map((annotator, i) => [annotator, scored.judged[i]]));
    const about = { shard, count: scored.counts.scored };
    const stats = await watched(watch, 'write', about, async () => {
      const groups = await annotateTable({ shard, table: scored.table, judged }, annotators);
      if (!job.embeddings) {
        scored.table.clips = scored.table.clips.map(({ image: _, text: __, ...scores }) => scores);
      }
      const input = scored.readToEnd ? { ...item.identity, sha256: hash.digest() } : item.identity;
      return commit(job, item, { wanted, annotators, groups }, scored, input, started);
    });
    addStats(totals, stats);
    totals.passedOver += scored.counts.passedOver;
    totals.repeats.pictures += scored.counts.repeats.pictures;
    totals.repeats.captions += scored.counts.repeats.captions;
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
      filtered: counts.filtered,
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
