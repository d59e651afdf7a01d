import { messageOf } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { clipGroup, scoreColumn } from './columns.ts';
import { arraysVouchedFor, expectedColumns, withoutOutdated } from './commit.ts';
import { COPY_FILE, ORIGINAL_GROUP } from './copy.ts';
import { addDamaged, type Findings } from './findings.ts';
import { type MetadataFolder, readStats, shardFiles } from './folder.ts';
import { type Npz, openNpz } from './npz.ts';
import { openParquet, type ParquetFile } from './parquet-read.ts';
import { RUN_FILE, type RunEntry } from './run.ts';
import { imbalance, type ShardStats, sumOf } from './stats.ts';

/** One shard's files of a metadata folder, as far as they can be opened. */
export interface CheckedShard {
  folder: Folder;
  shard: string;
  parquet: ParquetFile;
  /** Shardsieve scored it, so that its numbers are known to the last bit. */
  isOwn: boolean;
  /** Of what Shardsieve wrote: its own folders, and copies of others' with columns added. */
  stats?: ShardStats;
  /** Rows and dimensions of its arrays, by name; absent where there is no npz, or none was asked for. */
  arrays?: Map<string, { rows: number; dim: number }>;
}

const AGAIN = 'Remove the shard’s _stats.json and run score again';

/** A folder's own record of what made its numbers. */
export type FolderRecord = Pick<MetadataFolder, 'run' | 'copy'>;

/**
 * Checks what footers, headers and small files say of a shard against each other; no column is read. `record` is
 * empty for a foreign folder. Returns `undefined` where the shard cannot be opened.
 */
export async function checkShard(
  folder: Folder,
  shard: string,
  record: FolderRecord,
  files: ReadonlySet<string>,
  findings: Findings,
  options: { embeddings: boolean },
): Promise<CheckedShard | undefined> {
  const { label } = folder;
  const isOwn = record.run !== undefined;
  const damaged = (file: string, error: unknown): undefined => {
    addDamaged(findings, { folder: label, file, isOwn }, error);
    return undefined;
  };
  let names: ReturnType<typeof shardFiles>;
  let parquet: ParquetFile;
  let stats: ShardStats | undefined;
  try {
    names = shardFiles(shard);
  } catch (error) {
    return damaged(`${shard}.parquet`, error);
  }
  try {
    parquet = await openParquet(folder, names.parquet);
  } catch (error) {
    return damaged(names.parquet, error);
  }
  if (record.run !== undefined || record.copy !== undefined) {
    try {
      stats = await readStats(folder, shard);
      if (stats !== undefined) stats = withoutOutdated(stats, record);
    } catch (error) {
      return damaged(names.stats, error);
    }
    if (stats === undefined) return undefined;
    checkCounts(label, shard, stats, parquet, findings);
    checkFingerprints(label, stats, record, parquet, findings);
    if (options.embeddings) await checkSkipped(folder, stats, files.has(names.skipped), findings);
  }
  const checked: CheckedShard = { folder, shard, parquet, isOwn, ...(stats === undefined ? {} : { stats }) };
  if (!options.embeddings) return checked;
  if (!files.has(names.npz)) {
    const wanted = stats === undefined ? [] : arraysVouchedFor(stats);
    if (wanted.length > 0) {
      findings.add({
        ...{ code: 'npz_missing', level: 'problem', folder: label, message: 'no npz of embeddings' },
        ...{ file: names.npz, detail: `has to hold ${wanted.join(', ')}`, hint: AGAIN },
      });
    }
    return checked;
  }
  try {
    const npz = await openNpz(await folder.open(names.npz), names.npz);
    const arrays = await checkArrays(label, names.npz, npz, parquet.rows, stats, findings);
    return { ...checked, arrays };
  } catch (error) {
    damaged(names.npz, error);
    return checked;
  }
}

function checkCounts(
  folder: string,
  shard: string,
  stats: ShardStats,
  parquet: ParquetFile,
  findings: Findings,
): void {
  const { scored, successes, filtered = {} } = stats;
  const file = shardFiles(shard).stats;
  const problem = imbalance(stats) ?? (successes === scored ? undefined : `${successes} successes`);
  if (problem !== undefined) {
    findings.add({
      ...{ code: 'accounting', level: 'problem', folder, message: 'counts that do not add up', file },
      ...{ detail: problem, hint: AGAIN },
    });
  }
  if (sumOf(filtered) > 0) {
    const counts = Object.entries(filtered).map(([filter, count]) => `${count} by ${filter}`);
    findings.add({
      ...{ code: 'filtered', level: 'incomplete', folder, file, detail: counts.join(', ') },
      message: 'filters dropped samples before they were scored, which are not here',
      hint: 'For numbers of the whole pool, score it into another folder: shardsieve score, or filter --full-metadata',
    });
  }
  if (parquet.rows !== scored) {
    findings.add({
      ...{ code: 'rows_differ', level: 'problem', folder, message: 'parquets with other rows than scored' },
      ...{ file: parquet.name, detail: `${parquet.rows} rows, ${scored} scored`, hint: AGAIN },
    });
  }
  if (stats.pilot !== undefined) {
    findings.add({
      ...{ code: 'pilot', level: 'incomplete', folder },
      message: 'shards of which a pilot took a part only',
      ...{ file, detail: stats.pilot, hint: 'Run score without --limit and --sample' },
    });
  }
}

function checkFingerprints(
  folder: string,
  stats: ShardStats,
  record: FolderRecord,
  parquet: ParquetFile,
  findings: Findings,
): void {
  const file = shardFiles(stats.shard).stats;
  for (const [group, have] of Object.entries(stats.groups)) {
    // What a copy was made from has no fingerprint.
    if (record.copy !== undefined && group === ORIGINAL_GROUP) continue;
    const want = entryOf(record, group)?.fingerprint;
    if (want === have) continue;
    findings.add({
      ...{ code: 'fingerprint', level: 'problem', folder, file },
      message: `${group} made otherwise than ${record.run ? RUN_FILE : COPY_FILE} says`,
      detail: `fingerprint ${have}, ${want ?? 'nothing'} there`,
      hint: 'Remove the _stats.json of these shards and run score again',
    });
  }
  const there = new Set(parquet.columns.map(({ name }) => name));
  const expected = expectedColumns(stats);
  for (const column of expected.filter((name) => !there.has(name))) {
    findings.add({
      ...{ code: 'missing_columns', level: 'problem', folder, column, file: parquet.name },
      ...{ message: 'a column that the stats vouch for is not in the parquet', hint: AGAIN },
    });
  }
  const vouched = new Set(expected);
  for (const column of [...there].filter((name) => !vouched.has(name))) {
    findings.add({
      ...{ code: 'unvouched_column', level: 'note', folder, column, file: parquet.name },
      message: 'a column that no fingerprint vouches for, as an addition of it was interrupted',
      hint: 'Run the command that adds it again',
    });
  }
}

function entryOf({ run, copy }: FolderRecord, group: string): RunEntry | undefined {
  if (run === undefined) return copy?.groups[group];
  if (group === 'rows') return run.rows;
  const prefix = clipGroup('');
  return group.startsWith(prefix) ? run.models[group.slice(prefix.length)] : run.groups?.[group];
}

async function checkSkipped(
  folder: Folder,
  { shard, seen, scored }: ShardStats,
  isThere: boolean,
  findings: Findings,
): Promise<void> {
  const file = shardFiles(shard).skipped;
  const bytes = (isThere ? await folder.read(file) : undefined) ?? new Uint8Array();
  let lines = 0;
  for (const byte of bytes) if (byte === 10) lines++;
  if (lines === seen - scored) return;
  findings.add({
    ...{ code: 'skipped_lines', level: 'problem', folder: folder.label, hint: AGAIN },
    message: 'lists of skipped samples of another length than the stats say',
    ...{ file, detail: `${lines} lines for ${seen - scored} skipped` },
  });
}

/** The arrays' shapes from their headers. */
async function checkArrays(
  folder: string,
  file: string,
  npz: Npz,
  rows: number,
  stats: ShardStats | undefined,
  findings: Findings,
): Promise<Map<string, { rows: number; dim: number }>> {
  const arrays = new Map<string, { rows: number; dim: number }>();
  const embeddings = npz.names.filter((name) => /_(img|txt)$/.test(name));
  for (const name of embeddings) {
    let detail: string;
    try {
      const shape = await npz.shape(name);
      arrays.set(name, { rows: shape.rows, dim: shape.dim });
      if (shape.rows === rows) continue;
      detail = `${shape.rows} rows of ${name}, ${rows} in the parquet`;
    } catch (error) {
      detail = messageOf(error);
    }
    findings.add({
      ...{ code: 'npz_rows', level: 'problem', folder, file, detail },
      message: 'embeddings that do not match the rows of their parquet',
      hint: stats === undefined ? 'Fetch both files again; they belong to different versions' : AGAIN,
    });
  }
  for (const slug of stats === undefined ? [] : arraysVouchedFor(stats)) {
    const lacking = [`${slug}_img`, `${slug}_txt`].filter((name) => !npz.names.includes(name));
    if (lacking.length === 0) continue;
    findings.add({
      ...{ code: 'npz_missing', level: 'problem', folder, file, column: scoreColumn(slug) },
      ...{ message: 'embeddings that the stats vouch for are not there', detail: lacking.join(', ') },
      hint: AGAIN,
    });
  }
  return arrays;
}
