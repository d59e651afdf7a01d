import { missingOf } from '../annotate/own.ts';
import type { Annotator } from '../annotate/types.ts';
import { ShardError } from '../errors.ts';
import type { ByteSource, SourceIdentity } from '../io/bytes.ts';
import { readStats } from '../metadata/folder.ts';
import { readUnfinished } from '../metadata/outcome.ts';
import { conflictError, type ShardState, type ShardStats, shardState } from '../metadata/stats.ts';
import type { NamedSource, Pilot, ScoreJob } from './score-job.ts';
import type { ScoreTotals } from './totals.ts';

/** What a job of scoring has to do, decided before a shard is opened. */

export interface Planned extends NamedSource {
  identity: SourceIdentity;
  state: ShardState['state'];
  /** Column groups to be made. */
  missing: string[];
  /** What is to be added beside them: it alone makes no shard unfinished, as it can be added without scoring. */
  annotators: readonly Annotator[];
  stats: ShardStats | undefined;
}

/** Decides for each shard what there is to do, opening none. A missing input is a failure of its shard alone. */
export async function planShards(
  job: ScoreJob,
  annotators: readonly Annotator[],
  totals: ScoreTotals,
): Promise<Planned[]> {
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
          annotators,
          stats: undefined,
        });
        continue;
      }
      if (state === 'conflict') throw conflictError(job.folder.label, shard, conflicts[0]);
      const isThere = state === 'done' || state === 'missing_groups';
      const added = isThere ? missingOf(stats, annotators, shard, job.folder.label) : annotators;
      plan.push({ shard, source, identity, state, missing, annotators: added, stats });
    } catch (error) {
      if (!(error instanceof ShardError)) throw error;
      fail(job, totals, shard, error);
    }
  }
  return plan;
}

/** Whether a shard is to be scored now. Throws `MetadataError` where the record of earlier failures is damaged. */
export async function pendingOf(
  job: ScoreJob,
  plan: readonly Planned[],
): Promise<(item: Planned) => boolean> {
  const retried = job.retryFailed ? await failedBefore(job, plan) : undefined;
  return ({ shard, state }) => state !== 'done' && (retried?.has(shard) ?? true);
}

/** The shards that an earlier run could not read, or not to their end. */
async function failedBefore(job: ScoreJob, plan: readonly Planned[]): Promise<Set<string>> {
  const failed = (await readUnfinished(job.folder)).failed.map(({ shard }) => shard);
  const truncated = plan.filter(({ stats }) => stats?.truncated).map(({ shard }) => shard);
  return new Set([...failed, ...truncated]);
}

/** Names a pilot in a shard's stats; a shard that a limit did not cut is as good as a whole run's. */
export function pilotOf({ limit, sample }: Pilot): string | undefined {
  if (sample !== undefined) return `sample ${sample}${limit === undefined ? '' : `, limit ${limit}`}`;
  return limit === undefined ? undefined : `limit ${limit}`;
}

async function hashOf(job: ScoreJob, source: ByteSource): Promise<string> {
  const hash = job.hasher();
  for await (const chunk of source.stream({ signal: job.signal })) hash.update(chunk);
  return hash.digest();
}

export function fail(
  job: ScoreJob,
  totals: ScoreTotals,
  shard: string,
  error: ShardError,
  bytes?: number,
): void {
  totals.shards.failed.push({ shard, problem: error.problem, message: error.message });
  job.onEvent({ type: 'shard', shard, bytes, state: 'failed', message: error.message });
}

export function sumSizes(plan: readonly Planned[]): number | undefined {
  let sum = 0;
  for (const { identity } of plan) {
    if (identity.size === undefined) return undefined;
    sum += identity.size;
  }
  return sum;
}
