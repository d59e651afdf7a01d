/** Annotating a folder that Shardsieve wrote, in place. */
import { CancelledError, MetadataError } from '../errors.ts';
import { takePart } from '../io/part.ts';
import type { Column, ColumnGroup } from '../metadata/columns.ts';
import { addColumns } from '../metadata/commit.ts';
import { type MetadataFolder, prepareFolder, readStats } from '../metadata/folder.ts';
import { openParquet } from '../metadata/parquet-read.ts';
import { conflictError, type ShardStats } from '../metadata/stats.ts';
import { VERSION } from '../version.ts';
import { annotateGroups } from './batches.ts';
import type { AnnotateJob, AnnotateTotals } from './job.ts';
import type { Annotator } from './types.ts';

/** Adds what is missing to each committed shard; `there` has a `run.json`. */
export async function annotateOwn(
  job: AnnotateJob,
  there: MetadataFolder,
  totals: AnnotateTotals,
): Promise<void> {
  const { folder, annotators, onEvent } = job;
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
  checkFree(missing, new Set(Object.values(stats.columns).flat()), file);
  const uids: string[] = [];
  for await (const { chunks } of parquet.groups(['uid'])) {
    for (const piece of chunks.get('uid')!) for (const uid of piece) uids.push(String(uid));
  }
  const groups: ColumnGroup[] = missing.map(({ group, schema }) => ({
    name: group,
    columns: schema.map(({ name, type }) => ({ name, type, values: [] })),
  }));
  for await (const { columns } of annotateGroups({ ...rowsOf(job), shard, parquet, file }, missing)) {
    columns.forEach((made, i) => {
      countUnjudged(totals, missing[i], made);
      groups[i].columns = groups[i].columns.map((before, c) => append(before, made[c]));
    });
  }
  await addColumns(folder, shard, {
    uids,
    clips: [],
    groups,
    stats: { groups: Object.fromEntries(missing.map(({ group, fingerprint }) => [group, fingerprint])) },
  });
}

/** The annotators whose group a shard lacks. Throws `MetadataError` where it has one with another fingerprint. */
export function missingOf(
  stats: ShardStats | undefined,
  annotators: readonly Annotator[],
  shard: string,
  label: string,
): Annotator[] {
  for (const { group, fingerprint } of annotators) {
    const have = stats?.groups[group];
    if (have !== undefined && have !== fingerprint) {
      throw conflictError(label, shard, { group, have, want: fingerprint });
    }
  }
  return annotators.filter(({ group }) => stats?.groups[group] === undefined);
}

/** Throws `MetadataError` where a column to be added is one of those that count already. */
export function checkFree(annotators: readonly Annotator[], taken: ReadonlySet<string>, file: string): void {
  for (const { group, schema } of annotators) {
    const clash = schema.find(({ name }) => taken.has(name));
    if (clash === undefined) continue;
    throw new MetadataError(`${group} would add ${clash.name}, and there is a column of that name`, {
      file,
      column: clash.name,
      hint: 'It was not made by annotate: rename it, or do without the group',
    });
  }
}

export function countUnjudged(
  totals: AnnotateTotals,
  { group }: Annotator,
  columns: readonly Column[],
): void {
  const total = totals.groups.find((one) => one.group === group);
  if (total === undefined || columns.length === 0) return;
  for (const value of columns[0].values) if (value === null) total.unjudged++;
}

export function announce({ onEvent }: AnnotateJob, shards: number, pending: number): void {
  onEvent({ type: 'plan', shards, pending, reused: shards - pending });
}

/** What reading rows takes from the job. */
export function rowsOf(job: AnnotateJob) {
  const { folder, pictures, signal, onEvent } = job;
  return {
    folder,
    pictures,
    signal,
    onRows: (rows: number) => onEvent({ type: 'rows', rows }),
  };
}

function append(before: Column, more: Column): Column {
  // Both are of one annotator's schema, as plain values.
  return { ...before, values: [...before.values, ...more.values] } as Column;
}
