/** Annotating a folder that Shardsieve wrote, in place. */
import { CancelledError, MetadataError } from '../errors.ts';
import { takePart } from '../io/part.ts';
import { commitFiles, expectedColumns, withoutDerived } from '../metadata/commit.ts';
import { type MetadataFolder, prepareFolder, readStats, shardFiles } from '../metadata/folder.ts';
import { openParquet, type ParquetColumn } from '../metadata/parquet-read.ts';
import { PUNSAFE_GROUP } from '../metadata/run.ts';
import { completeStats, conflictError, type ShardStats } from '../metadata/stats.ts';
import { VERSION } from '../version.ts';
import type { AnnotateJob, AnnotateTotals } from './job.ts';
import { punsafeFor, termsOf } from './punsafe.ts';
import type { Annotator } from './types.ts';
import { writeAdded } from './write.ts';

/** Adds what is missing to each committed shard; `there` has a `run.json`. */
export async function annotateOwn(
  job: AnnotateJob,
  there: MetadataFolder,
  totals: AnnotateTotals,
): Promise<void> {
  const { folder, onEvent } = job;
  const derived = await punsafeFor(there, job.annotators);
  const annotators = derived === undefined ? job.annotators : [...job.annotators, derived];
  announceGroup(totals, derived);
  const halves = there.shards.filter((shard) => !there.committed.has(shard));
  if (halves.length > 0) {
    onEvent({ type: 'note', text: `left out, not fully written: ${halves.join(', ')}; run score again` });
  }
  // Refuses other settings under a group's name, and says which they are.
  await prepareFolder(folder, {
    shardsieve: VERSION,
    rows: there.run!.rows,
    models: {},
    groups: Object.fromEntries(annotators.map(({ group, entry }) => [group, entry])),
  });
  const plan: { shard: string; stats: ShardStats; missing: Annotator[] }[] = [];
  const whole = there.shards.filter((name) => there.committed.has(name));
  for (const shard of takePart(whole, job.part)) {
    if (job.only !== undefined && !job.only.has(shard)) continue;
    const stats = await readStats(folder, shard);
    if (stats === undefined) continue;
    plan.push({ shard, stats, missing: missingOf(stats, annotators, shard, folder.label) });
  }
  announce(job, plan.length, plan.filter(({ missing }) => missing.length > 0).length);
  for (const { shard, stats, missing } of plan) {
    if (job.signal?.aborted) throw new CancelledError();
    totals.rows += stats.scored;
    if (missing.length === 0) {
      totals.shards.reused.push(shard);
      onEvent({ type: 'shard', shard, state: 'reused' });
      continue;
    }
    await annotateShard(job, shard, stats, missing, totals);
    totals.shards.done.push(shard);
    onEvent({ type: 'shard', shard, state: 'done' });
  }
}

async function annotateShard(
  job: AnnotateJob,
  shard: string,
  stats: ShardStats,
  missing: readonly Annotator[],
  totals: AnnotateTotals,
): Promise<void> {
  const { folder } = job;
  const parquet = await openParquet(folder, `${shard}.parquet`);
  const file = `${folder.label}/${shard}.parquet`;
  const { [PUNSAFE_GROUP]: _, ...taken } = stats.columns;
  checkFree(missing, new Set(Object.values(taken).flat()), file);
  const kept = outdates(missing) ? withoutDerived(stats) : stats;
  const complete = completeStats({
    ...kept,
    groups: {
      ...kept.groups,
      ...Object.fromEntries(missing.map(({ group, fingerprint }) => [group, fingerprint])),
    },
    columns: {
      ...kept.columns,
      ...Object.fromEntries(missing.map(({ group, schema }) => [group, schema.map(({ name }) => name)])),
    },
  });
  checkThere(expectedColumns(kept), parquet.columns, file);
  const { parquet: name, stats: statsFile } = shardFiles(shard);
  await commitFiles(folder, statsFile, complete, [
    {
      name,
      write: (sink) =>
        writeAdded(sink, {
          ...{ from: folder, name, annotators: missing, order: expectedColumns(complete), totals },
          rows: { ...rowsOf(job), shard, parquet, file },
        }),
    },
  ]);
}

/** Throws `MetadataError` where a column that the stats vouch for is gone. */
function checkThere(names: readonly string[], columns: readonly ParquetColumn[], file: string): void {
  const lost = names.find((name) => !columns.some((column) => column.name === name));
  if (lost === undefined) return;
  throw new MetadataError('a column that the stats vouch for is not in the parquet', {
    file,
    column: lost,
    hint: 'Remove its _stats.json to have the shard scored again',
  });
}

/**
 * The annotators whose group a shard lacks; of what is made of other groups, those for which all of these are there
 * and that are not made of them yet. Throws `MetadataError` where it has a group with another fingerprint.
 */
export function missingOf(
  stats: ShardStats | undefined,
  annotators: readonly Annotator[],
  shard: string,
  label: string,
): Annotator[] {
  const missing = annotators.filter(({ group }) => stats?.groups[group] === undefined);
  for (const annotator of annotators) {
    if ('of' in annotator) continue;
    const { group, fingerprint } = annotator;
    const have = stats?.groups[group];
    if (have !== undefined && have !== fingerprint) {
      throw conflictError(label, shard, { group, have, want: fingerprint });
    }
  }
  const there = new Set([...Object.keys(stats?.groups ?? {}), ...missing.map(({ group }) => group)]);
  return annotators.filter((annotator) => {
    if (!('of' in annotator) || annotator.of === undefined) return missing.includes(annotator);
    const isStale = stats?.groups[annotator.group] !== annotator.fingerprint;
    return isStale && annotator.of.every((group) => there.has(group));
  });
}

/** Whether `punsafe` is no longer true once these are there. */
export function outdates(added: readonly Annotator[]): boolean {
  return added.some(({ group, entry }) => group === PUNSAFE_GROUP || termsOf(entry).length > 0);
}

/** Lists a group that the job itself adds. */
export function announceGroup(totals: AnnotateTotals, added: Annotator | undefined): void {
  if (added !== undefined) totals.groups.push(groupTotals(added));
}

export function groupTotals({ group, fingerprint, schema }: Annotator): AnnotateTotals['groups'][number] {
  return { group, fingerprint, columns: schema.map(({ name }) => name), unjudged: 0 };
}

/** Throws `MetadataError` where a column to be added is one of those that count already. */
export function checkFree(annotators: readonly Annotator[], taken: ReadonlySet<string>, file: string): void {
  const all = new Set(taken);
  for (const { group, schema } of annotators) {
    const clash = schema.find(({ name }) => all.has(name));
    for (const { name } of schema) all.add(name);
    if (clash === undefined) continue;
    throw new MetadataError(`${group} would add ${clash.name}, and there is a column of that name`, {
      file,
      column: clash.name,
      hint: 'It was not made by annotate: rename it, or do without the group',
    });
  }
}

export function announce({ onEvent }: AnnotateJob, shards: number, pending: number): void {
  onEvent({ type: 'plan', shards, pending, reused: shards - pending });
}

/** What reading rows takes from the job. */
export function rowsOf(job: AnnotateJob) {
  const { folder, pictures, reading, signal, onEvent } = job;
  return {
    folder,
    pictures,
    reading,
    signal,
    onRows: (rows: number) => onEvent({ type: 'rows', rows }),
  };
}
