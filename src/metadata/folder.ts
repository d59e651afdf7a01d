import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { clipGroup } from './columns.ts';
import { COPY_FILE, type CopyRecord, readCopy } from './copy.ts';
import { encodeRun, mergeRun, RUN_FILE, type RunEntry, type RunRecord, readRun } from './run.ts';
import { parseStats, type ShardStats, statsName } from './stats.ts';

/**
 * A metadata folder as it lies there. Shardsieve's own has a `run.json`; any other folder with parquets is
 * foreign (DataComp's published metadata, dataset2metadata's output): read as it is and never modified.
 */
export interface MetadataFolder {
  folder: Folder;
  kind: 'empty' | 'shardsieve' | 'foreign' | 'other';
  run?: RunRecord;
  /** Of a foreign folder's copy with columns added, which is Shardsieve's to extend. */
  copy?: CopyRecord;
  /** Base names of the parquets, sorted. */
  shards: string[];
  /** Shards with a `_stats.json`: those that count. In a foreign folder that is not told by files. */
  committed: Set<string>;
  /** What cannot be known of this folder; to be said once. */
  notes: string[];
}

const PARQUET = '.parquet';

/** Looks at a folder, with one listing. */
export async function inspectFolder(folder: Folder): Promise<MetadataFolder> {
  const files = await folder.list();
  const run = files.includes(RUN_FILE) ? await readRun(folder) : undefined;
  const shards = files.filter((name) => name.endsWith(PARQUET)).map((name) => name.slice(0, -PARQUET.length));
  const committed = new Set(
    files.filter((name) => name.endsWith('_stats.json')).map((name) => name.slice(0, -'_stats.json'.length)),
  );
  const copy = files.includes(COPY_FILE) ? await readCopy(folder) : undefined;
  const kind = run
    ? 'shardsieve'
    : shards.length > 0 || copy
      ? 'foreign'
      : files.length > 0
        ? 'other'
        : 'empty';
  const origin = copy
    ? `${folder.label} is a copy, with columns added, of metadata that Shardsieve did not write`
    : `${folder.label} was not written by Shardsieve (no ${RUN_FILE}): it is read as it is`;
  const notes =
    kind === 'foreign'
      ? [
          `${origin}; which model and weights made its scores, and which samples were skipped, cannot be known.`,
        ]
      : [];
  return { folder, kind, ...(run ? { run } : {}), ...(copy ? { copy } : {}), shards, committed, notes };
}

/** What is to be said where figures are of a pool: which folders lack samples that filters dropped early. */
export async function gateNotes(folders: readonly Folder[]): Promise<string[]> {
  const notes: string[] = [];
  for (const folder of folders) {
    const { run } = await inspectFolder(folder);
    if (run?.rows['gate'] === undefined) continue;
    notes.push(
      `${folder.label} lacks samples that filters dropped before they were scored (rows.gate in ${RUN_FILE}): figures are of the rest`,
    );
  }
  return notes;
}

/**
 * Makes a folder ready to be written to: refuses what is not Shardsieve's, and writes or extends `run.json`
 * before anything else, so that an interrupted first run leaves a folder that the next one knows. What `run.json`
 * says and no shard was made with (a model that failed to load, a run stopped early) is no reason to refuse.
 */
export async function prepareFolder(folder: Folder, run: RunRecord): Promise<MetadataFolder> {
  const there = await inspectFolder(folder);
  if (there.kind === 'foreign') {
    throw new MetadataError(
      `${folder.label} holds metadata that Shardsieve did not write; it is never modified`,
      {
        hint: 'Write to another --out',
      },
    );
  }
  if (there.kind === 'other') {
    throw new MetadataError(`${folder.label} is not empty and holds no metadata of Shardsieve's`, {
      hint: 'Write to an empty or new --out',
    });
  }
  const known = there.run && (await inUse(folder, there, there.run, run));
  const merged = mergeRun(known, run, folder.label);
  const bytes = encodeRun(merged);
  if (!there.run || !equal(encodeRun(there.run), bytes)) await writeFile(folder, RUN_FILE, bytes);
  return { ...there, kind: 'shardsieve', run: merged };
}

/** The record of a folder without the entries that `run` would replace and no committed shard holds. */
async function inUse(
  folder: Folder,
  { committed }: MetadataFolder,
  have: RunRecord,
  run: RunRecord,
): Promise<RunRecord | undefined> {
  if (committed.size === 0 && have.rows.fingerprint !== run.rows.fingerprint) return undefined;
  const models = differing(have.models, run.models);
  const groups = differing(have.groups ?? {}, run.groups ?? {});
  const unused = await unusedGroups(folder, committed, [...models.map(clipGroup), ...groups]);
  const { groups: old, ...rest } = have;
  const without = (entries: { [name: string]: RunEntry }, group: (name: string) => string) =>
    Object.fromEntries(Object.entries(entries).filter(([name]) => !unused.has(group(name))));
  return {
    ...rest,
    models: without(have.models, clipGroup),
    ...(old ? { groups: without(old, (name) => name) } : {}),
  };
}

/** Names of entries that are in both with another fingerprint. */
export function differing(have: { [name: string]: RunEntry }, want: { [name: string]: RunEntry }): string[] {
  return Object.keys(want).filter(
    (name) => name in have && have[name].fingerprint !== want[name].fingerprint,
  );
}

/** Those of some column groups that no committed shard holds. */
export async function unusedGroups(
  folder: Folder,
  committed: Iterable<string>,
  groups: readonly string[],
): Promise<Set<string>> {
  const unused = new Set(groups);
  for (const shard of committed) {
    if (unused.size === 0) break;
    for (const group of Object.keys((await readStats(folder, shard))?.groups ?? {})) unused.delete(group);
  }
  return unused;
}

/** A shard's stats, or `undefined` where it was never committed. */
export async function readStats(folder: Folder, shard: string): Promise<ShardStats | undefined> {
  const bytes = await folder.read(statsName(shard));
  return bytes && parseStats(bytes, `${folder.label}/${statsName(shard)}`);
}

/** Names of the files of one shard. Throws `UsageError` at a shard name that cannot be a file's. */
export function shardFiles(shard: string): { parquet: string; npz: string; skipped: string; stats: string } {
  if (shard === '' || /[\\/\0]/.test(shard) || shard.startsWith('.') || shard.includes(PARQUET)) {
    throw new UsageError(`a shard cannot be called ${JSON.stringify(shard)}`, {
      shard,
      hint: 'DataComp takes every path with .parquet in it for metadata; rename the shard',
    });
  }
  return {
    parquet: `${shard}${PARQUET}`,
    npz: `${shard}.npz`,
    skipped: `${shard}_skipped.jsonl`,
    stats: statsName(shard),
  };
}

/** One small file, whole or not at all. */
export async function writeFile(folder: Folder, name: string, bytes: Uint8Array): Promise<void> {
  const sink = await folder.create(name);
  try {
    await sink.write(bytes);
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
