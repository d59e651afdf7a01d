import { AccountingError, MetadataError } from '../errors.ts';
import type { Folder, Sink } from '../io/bytes.ts';
import {
  type Column,
  type ColumnGroup,
  checkNames,
  clipColumns,
  clipGroup,
  refineGroup,
  rowColumns,
  scoreColumn,
} from './columns.ts';
import { type MetadataFolder, readStats, shardFiles } from './folder.ts';
import { type NpzArray, openNpz, type StoredArray, writeNpz } from './npz.ts';
import { readColumns } from './parquet-read.ts';
import { encodeParquet } from './parquet-write.ts';
import { PUNSAFE_GROUP } from './run.ts';
import { completeStats, conflictError, encodeStats, type ShardStats } from './stats.ts';
import type { ClipColumns, ShardTable, Skipped } from './table.ts';

export interface ShardOutput {
  table: ShardTable;
  /** `<slug>_img` and `<slug>_txt` of models whose embeddings are not in the table, as they have been stored elsewhere. */
  stored?: readonly StoredArray[];
  /** Columns of later steps, after the models' scores. */
  groups?: ColumnGroup[];
  skipped: readonly Skipped[];
  stats: Omit<ShardStats, 'successes' | 'shard' | 'columns' | 'embeddings'>;
}

/**
 * Commits one shard: npz, skipped, parquet under temporary names, then renamed in that order, `_stats.json`
 * last. Whatever was committed for the shard before stops counting first, so that no moment shows old and new
 * files as one shard.
 *
 * Throws `AccountingError` where rows, skips and counts disagree, `OutputError` where writing fails; then
 * nothing of the shard counts.
 */
export async function commitShard(folder: Folder, shard: string, output: ShardOutput): Promise<ShardStats> {
  const { table, skipped, stored = [] } = output;
  const files = shardFiles(shard);
  const groups = sortGroups(output.groups ?? []);
  const rows = rowColumns(table.rows);
  const stats = completeStats({
    ...output.stats,
    shard,
    embeddings: [...new Set([...embeddedSlugs(table.clips), ...stored.map(({ name }) => arraySlug(name))])],
    columns: { rows: names(rows), ...groupColumns(groups) },
  });
  if (table.rows.length !== stats.scored || skipped.length !== stats.seen - stats.scored) {
    throw new AccountingError(
      `${table.rows.length} rows and ${skipped.length} skipped lines for ${stats.scored} scored of ${stats.seen}`,
      { shard },
    );
  }
  checkGroups(stats, [
    'rows',
    ...table.clips.map(({ slug }) => clipGroup(slug)),
    ...groups.map(({ name }) => name),
  ]);
  const columns = [
    ...rows,
    ...clipColumns(table.clips, table.rows.length),
    ...groups.flatMap((group) => group.columns),
  ];
  const arrays = inOrder([...embeddingArrays(table.clips, table.rows.length), ...stored]);
  if (await folder.has(files.stats)) await folder.remove(files.stats);
  await commitFiles(folder, files.stats, stats, [
    ...(arrays.length > 0 ? [{ name: files.npz, write: (sink: Sink) => writeNpz(sink, arrays) }] : []),
    { name: files.skipped, write: (sink) => sink.write(encodeSkipped(skipped)) },
    { name: files.parquet, write: (sink) => sink.write(encodeParquet(columns)) },
  ]);
  if (arrays.length === 0 && (await folder.has(files.npz))) await folder.remove(files.npz);
  return stats;
}

export interface AddedColumns {
  /** The uids for which the columns were made, in order; they must be the committed rows'. */
  uids: readonly string[];
  clips: readonly ClipColumns[];
  groups?: ColumnGroup[];
  /** Leave behind what was made of other groups (`PUNSAFE_GROUP`) and is no longer true, unless it is among `groups`. */
  outdated?: boolean;
  /** Fingerprints of the added groups, this pass's times, and the input as it is known now. */
  stats: Pick<ShardStats, 'groups'> &
    Partial<Pick<ShardStats, 'input' | 'captionsTruncated' | 'start_time' | 'end_time' | 'seconds'>>;
}

/**
 * Adds column groups to a committed shard: its parquet is written again with the same rows in the same order. A
 * group that is there with the same fingerprint is replaced, which gives it embeddings that it was made without.
 * What an interrupted earlier attempt left (columns that no fingerprint vouches for) is dropped.
 *
 * Throws `MetadataError` where the rows are not those expected, or a group is there with another fingerprint.
 */
export async function addColumns(folder: Folder, shard: string, added: AddedColumns): Promise<ShardStats> {
  const files = shardFiles(shard);
  const old = await readStats(folder, shard);
  if (!old) throw new MetadataError(`${folder.label} has no committed shard of this name`, { shard });
  const kept = withoutRefined(added.outdated === true ? withoutDerived(old) : old, added.clips);
  for (const [group, want] of Object.entries(added.stats.groups)) {
    const have = kept.groups[group];
    if (have !== undefined && have !== want) throw conflictError(folder.label, shard, { group, have, want });
  }
  const committed = await readColumns(folder, files.parquet);
  checkRows(committed, added.uids, shard, files.parquet);
  const groups = sortGroups(added.groups ?? []);
  const fresh = [...clipColumns(added.clips, added.uids.length), ...groups.flatMap((group) => group.columns)];
  const truncations = added.stats.captionsTruncated;
  const stats = completeStats({
    ...kept,
    ...added.stats,
    embeddings: [...new Set([...arraysVouchedFor(old), ...embeddedSlugs(added.clips)])],
    ...(truncations ? { captionsTruncated: { ...old.captionsTruncated, ...truncations } } : {}),
    groups: { ...kept.groups, ...added.stats.groups },
    columns: { ...kept.columns, ...groupColumns(groups) },
  });
  checkGroups(stats, [
    ...Object.keys(kept.groups),
    ...added.clips.map(({ slug }) => clipGroup(slug)),
    ...groups.map(({ name }) => name),
  ]);
  const columns = arrange([...vouchedFor(committed, kept, fresh), ...fresh], stats, files.parquet);
  const arrays = await mergeArrays(folder, files.npz, old, added);
  await commitFiles(folder, files.stats, stats, [
    ...(arrays.length > 0 ? [{ name: files.npz, write: (sink: Sink) => writeNpz(sink, arrays) }] : []),
    { name: files.parquet, write: (sink) => sink.write(encodeParquet(columns)) },
  ]);
  return stats;
}

/** Stats without what is made of other groups. */
export function withoutDerived<Stats extends Pick<ShardStats, 'groups' | 'columns'>>(stats: Stats): Stats {
  const { [PUNSAFE_GROUP]: _, ...groups } = stats.groups;
  const { [PUNSAFE_GROUP]: __, ...columns } = stats.columns;
  return { ...stats, groups, columns };
}

/** Stats that do not vouch for what was refined of scores that are written again. */
function withoutRefined(stats: ShardStats, clips: readonly ClipColumns[]): ShardStats {
  const gone = new Set(clips.map(({ slug }) => refineGroup(slug)));
  const rest = <T>(entries: { [group: string]: T }) =>
    Object.fromEntries(Object.entries(entries).filter(([group]) => !gone.has(group)));
  return { ...stats, groups: rest(stats.groups), columns: rest(stats.columns) };
}

/**
 * Stats that do not vouch for a `punsafe` of other classifiers than its folder's record names: one was added to the
 * folder, and not to this shard yet. One column never means two things.
 */
export function withoutOutdated(
  stats: ShardStats,
  { run, copy }: Pick<MetadataFolder, 'run' | 'copy'>,
): ShardStats {
  const have = stats.groups[PUNSAFE_GROUP];
  const want = (run?.groups ?? copy?.groups)?.[PUNSAFE_GROUP]?.fingerprint;
  return have === undefined || want === undefined || have === want ? stats : withoutDerived(stats);
}

export interface Output {
  name: string;
  write(sink: Sink): Promise<void>;
}

/** Writes everything before the first rename; `_stats.json` is renamed last. */
export async function commitFiles(
  folder: Folder,
  statsFile: string,
  stats: ShardStats,
  outputs: Output[],
): Promise<void> {
  const all = [...outputs, { name: statsFile, write: (sink: Sink) => sink.write(encodeStats(stats)) }];
  const open: Sink[] = [];
  try {
    for (const output of all) {
      const sink = await folder.create(output.name);
      open.push(sink);
      await output.write(sink);
    }
    while (open.length > 0) {
      await open[0].commit();
      open.shift();
    }
  } finally {
    for (const sink of open) await sink.abort();
  }
}

function encodeSkipped(skipped: readonly Skipped[]): Uint8Array {
  const lines = skipped.map(({ key, uid, reason, filter, detail }) =>
    JSON.stringify({ key, uid, reason, filter, detail }),
  );
  return new TextEncoder().encode(lines.map((line) => `${line}\n`).join(''));
}

function embeddedSlugs(clips: readonly ClipColumns[]): string[] {
  return clips.filter(({ image }) => image !== undefined).map(({ slug }) => slug);
}

/** The slugs whose arrays in the npz count. */
export function arraysVouchedFor({ embeddings, groups }: ShardStats): string[] {
  const prefix = clipGroup('');
  const scored = Object.keys(groups).filter((group) => group.startsWith(prefix));
  return embeddings ?? scored.map((group) => group.slice(prefix.length));
}

/** `<slug>_img`, `<slug>_txt` by slug; a model without embeddings has none. */
function embeddingArrays(clips: readonly ClipColumns[], rows: number): NpzArray[] {
  const arrays: NpzArray[] = [];
  for (const { slug, dim, image, text } of [...clips].sort((a, b) => (a.slug < b.slug ? -1 : 1))) {
    for (const [name, values] of [
      [`${slug}_img`, image],
      [`${slug}_txt`, text],
    ] as const) {
      if (values === undefined) continue;
      if (values.length !== rows * dim) {
        throw new AccountingError(`${values.length} values of ${name} for ${rows} rows of ${dim}`);
      }
      arrays.push({ name, dim, values });
    }
  }
  return arrays;
}

async function mergeArrays(
  folder: Folder,
  npz: string,
  old: ShardStats,
  added: AddedColumns,
): Promise<NpzArray[]> {
  const fresh = embeddingArrays(added.clips, added.uids.length);
  if (fresh.length === 0 || !(await folder.has(npz))) return fresh;
  const file = await openNpz(await folder.open(npz), npz);
  const kept: NpzArray[] = [];
  const vouched = arraysVouchedFor(old);
  for (const name of file.names) {
    if (!vouched.includes(arraySlug(name)) || fresh.some((array) => array.name === name)) continue;
    const { dim, data } = await file.matrix(name);
    kept.push({ name, dim, values: data });
  }
  return inOrder([...kept, ...fresh]);
}

/** By slug, then img before txt. */
function inOrder<T extends { name: string }>(arrays: T[]): T[] {
  return arrays.sort((a, b) => {
    const [x, y] = [arraySlug(a.name), arraySlug(b.name)];
    if (x !== y) return x < y ? -1 : 1;
    return a.name < b.name ? -1 : 1;
  });
}

function arraySlug(name: string): string {
  return name.replace(/_(img|txt)$/, '');
}

function checkRows(columns: readonly Column[], uids: readonly string[], shard: string, file: string): void {
  const have = columns.find(({ name }) => name === 'uid')?.values ?? [];
  const row = uids.findIndex((uid, i) => have[i] !== uid);
  if (row >= 0 || have.length !== uids.length) {
    throw new MetadataError(
      row >= 0
        ? `row ${row} is ${have[row] ?? 'not there'}, and the columns to be added are for ${uids[row]}`
        : `${have.length} rows, and the columns to be added are for ${uids.length}`,
      { shard, file, hint: 'The shard or the options changed since it was scored; write to another --out' },
    );
  }
}

/** The committed columns that a fingerprint stands for, without those being replaced. */
function vouchedFor(columns: readonly Column[], stats: ShardStats, fresh: readonly Column[]): Column[] {
  const vouched = new Set(expectedColumns(stats));
  for (const { name } of fresh) vouched.delete(name);
  return columns.filter(({ name }) => vouched.has(name));
}

/** The column names of a shard in their order: the rows', the models' by slug, then later groups' by name. */
export function expectedColumns(stats: ShardStats): string[] {
  const { rows = [], ...later } = stats.columns;
  const slugs = Object.keys(stats.groups).filter((group) => group.startsWith('clip:'));
  const scores = slugs.sort().map((group) => scoreColumn(group.slice('clip:'.length)));
  return [
    ...rows,
    ...scores,
    ...Object.keys(later)
      .sort()
      .flatMap((group) => later[group]),
  ];
}

/** The columns in the order of `commitShard`, whatever came first. Throws where one is not there. */
function arrange(columns: readonly Column[], stats: ShardStats, file: string): Column[] {
  checkNames(columns);
  return expectedColumns(stats).map((name) => {
    const column = columns.find((candidate) => candidate.name === name);
    if (column) return column;
    throw new MetadataError('a column that the stats vouch for is not in the parquet', {
      file,
      column: name,
      hint: `Remove ${stats.shard}_stats.json to have the shard scored again`,
    });
  });
}

function checkGroups(stats: ShardStats, groups: readonly string[]): void {
  const expected = [...new Set(groups)].sort().join(', ');
  const given = Object.keys(stats.groups).sort().join(', ');
  if (expected !== given) {
    throw new AccountingError(`fingerprints for ${given || 'nothing'}, columns for ${expected}`, {
      shard: stats.shard,
    });
  }
}

function sortGroups(groups: readonly ColumnGroup[]): ColumnGroup[] {
  return [...groups].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function groupColumns(groups: readonly ColumnGroup[]): { [group: string]: string[] } {
  return Object.fromEntries(groups.map(({ name, columns }) => [name, names(columns)]));
}

function names(columns: readonly Column[]): string[] {
  return columns.map(({ name }) => name);
}
