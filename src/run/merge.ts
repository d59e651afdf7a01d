import { CancelledError, MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { type CopyFile, copyFile } from '../io/copy.ts';
import { inspectFolder, prepareFolder, readStats, shardFiles } from '../metadata/folder.ts';
import {
  isOutcomeFile,
  missingParts,
  type PartRecord,
  partFile,
  readParts,
  readUnfinished,
  type Unfinished,
} from '../metadata/outcome.ts';
import type { RunEntry, RunRecord } from '../metadata/run.ts';
import { type ShardStats, sameInput } from '../metadata/stats.ts';
import { recordPart, recordUnfinished } from './outcome.ts';
import { recordMerged } from './refine-record.ts';

export interface MergeOptions {
  /** A platform's own way to copy a file; default by reading and writing it. */
  copy?: CopyFile;
  /** Merge although parts are missing; the folder says which. */
  partial?: boolean;
  /** Called after each shard. */
  onShard?: (shard: string, state: 'merged' | 'there') => void;
  signal?: AbortSignal;
}

export interface MergeReport {
  shards: number;
  /** Of `shards`, those that this run copied, and those that were there already. */
  merged: number;
  there: number;
  /** Of `shards`, those that several parts hold from the same input; taken from the first. */
  repeated: number;
  rows: number;
  /** Shards that no part holds, because a run could not read them or did not reach them. */
  failed: string[];
  pending: string[];
  missing: { index: number; count: number }[];
}

interface Part {
  folder: Folder;
  run: RunRecord;
  shards: string[];
  records: PartRecord[];
}

/**
 * Merges the metadata folders of parts into one, which is then what one machine would have written. Shards are
 * copied whole, `_stats.json` last; a run that was stopped is taken up by the same command.
 *
 * Throws `MetadataError` where a folder is not Shardsieve's or half written, where two were not made alike, where one
 * shard was scored from two inputs, and where parts are missing (unless `partial`).
 */
export async function mergeFolders(
  folders: readonly Folder[],
  out: Folder,
  options: MergeOptions = {},
): Promise<MergeReport> {
  const parts: Part[] = [];
  for (const folder of folders) parts.push(await openPart(folder));
  for (const part of parts.slice(1)) refuseOther(parts[0], part);
  const records = [...(await readParts(out)), ...parts.flatMap((part) => part.records)];
  refuseOtherList(records);
  const missing = missingParts(records);
  if (missing.length > 0 && options.partial !== true) throw missingError(missing);
  const { owners, repeated } = await assign(parts);
  await prepareFolder(out, parts[0].run);
  const unfinished = await unfinishedOf(parts, owners);
  const shards = [...owners.keys()].sort();
  const { failed, pending } = unfinished;
  // Before anything is copied: a run that is killed leaves it behind.
  await recordUnfinished(out, undefined, { failed, pending: [...pending, ...shards], finished: [] });
  let [merged, rows] = [0, 0];
  for (const shard of shards) {
    if (options.signal?.aborted) throw new CancelledError();
    const folder = owners.get(shard)!;
    const stats = await statsOf(folder, shard);
    const isThere = await isMerged(out, folder, stats);
    if (!isThere) await copyShard(folder, shard, out, options.copy ?? copyFile);
    if (!isThere) merged++;
    rows += stats.scored;
    options.onShard?.(shard, isThere ? 'there' : 'merged');
  }
  await keepRecords(out, missing.length > 0 ? records : []);
  await recordMerged(
    out,
    parts.map(({ run }) => run),
  );
  await recordUnfinished(out, undefined, { failed, pending, finished: shards });
  return {
    ...{ shards: shards.length, merged, there: shards.length - merged, repeated, rows, pending, missing },
    failed: failed.map(({ shard }) => shard),
  };
}

async function openPart(folder: Folder): Promise<Part> {
  const { kind, run, shards, committed } = await inspectFolder(folder);
  if (run === undefined) {
    throw new MetadataError(
      kind === 'foreign'
        ? `${folder.label} was not written by Shardsieve, so its parts cannot be told`
        : `${folder.label} holds no metadata of Shardsieve's`,
      { hint: 'select takes several folders as they are: name all of them there' },
    );
  }
  const parquets = new Set(shards);
  const halves = [
    ...shards.filter((shard) => !committed.has(shard)),
    ...[...committed].filter((shard) => !parquets.has(shard)),
  ];
  if (halves.length > 0) {
    throw new MetadataError(
      `${folder.label} holds ${halves.length} shards not fully written, ${halves[0]} first`,
      { shard: halves[0], hint: 'Run that part again to finish them, then merge' },
    );
  }
  return { folder, run, shards, records: await readParts(folder) };
}

/** Two parts are merged only if one run could have written both. */
function refuseOther(a: Part, b: Part): void {
  const refuse = (what: string, hint: string): never => {
    throw new MetadataError(`${a.folder.label} and ${b.folder.label} cannot be merged: ${what}`, { hint });
  };
  const compare = (name: string, x: RunEntry | undefined, y: RunEntry | undefined): void => {
    if (x?.fingerprint === y?.fingerprint) return;
    if (x === undefined || y === undefined) {
      const without = (x === undefined ? a : b).folder.label;
      refuse(`${without} has no ${name}`, `Run score with that model for ${without} too`);
    }
    const fields = Object.keys({ ...x, ...y }).filter((f) => JSON.stringify(x![f]) !== JSON.stringify(y![f]));
    const shown = fields.map((f) => `${f} ${JSON.stringify(x![f])} and ${JSON.stringify(y![f])}`);
    refuse(
      `${name} was made with other settings, ${shown.join('; ')}`,
      'Score one of them again with the settings of the other',
    );
  };
  compare('rows', a.run.rows, b.run.rows);
  const names = (x: object, y: object) => Object.keys({ ...x, ...y }).sort();
  for (const slug of names(a.run.models, b.run.models)) {
    compare(`model ${slug}`, a.run.models[slug], b.run.models[slug]);
  }
  for (const group of names(a.run.groups ?? {}, b.run.groups ?? {})) {
    compare(`group ${group}`, a.run.groups?.[group], b.run.groups?.[group]);
  }
}

/** Parts of one list make a whole; what was not scored by parts is no matter. */
function refuseOtherList(records: readonly PartRecord[]): void {
  const [first] = records;
  const other = records.find(({ list, count }) => list !== first.list || count !== first.count);
  if (other === undefined) return;
  throw new MetadataError(
    `parts of different lists of shards cannot be merged: ${partFile(first)} is of ${first.pool} shards, ${partFile(other)} of ${other.pool}`,
    { hint: 'Give every machine the same list and the same number of parts' },
  );
}

function missingError(missing: readonly { index: number; count: number }[]): MetadataError {
  const named = missing.slice(0, 5).map(({ index, count }) => `${index}/${count}`);
  const more = missing.length > named.length ? ` and ${missing.length - named.length} more` : '';
  return new MetadataError(
    `of the parts, ${named.join(', ')}${more} ${missing.length === 1 ? 'is' : 'are'} not there`,
    {
      hint: 'Name the folders of all parts, or add --partial for a folder that says what it lacks',
    },
  );
}

/** From which folder each shard is taken. */
async function assign(parts: readonly Part[]): Promise<{ owners: Map<string, Folder>; repeated: number }> {
  const owners = new Map<string, Folder>();
  let repeated = 0;
  for (const { folder, shards } of parts) {
    for (const shard of shards) {
      const owner = owners.get(shard);
      if (owner === undefined) {
        owners.set(shard, folder);
        continue;
      }
      const [a, b] = [await statsOf(owner, shard), await statsOf(folder, shard)];
      if (!sameInput(a.input, b.input) || !covers(a, b) || !covers(b, a)) {
        throw new MetadataError(
          `${owner.label} and ${folder.label} both hold this shard, from different inputs or made with other settings`,
          { shard, hint: 'Remove its _stats.json from the folder that should not have it' },
        );
      }
      repeated++;
    }
  }
  return { owners, repeated };
}

async function statsOf(folder: Folder, shard: string): Promise<ShardStats> {
  const stats = await readStats(folder, shard);
  if (stats !== undefined) return stats;
  throw new MetadataError(`${folder.label} changed while it was merged`, { shard, hint: 'Merge again' });
}

/** Whether `a` has all that `b` has, made alike. */
function covers(a: ShardStats, b: ShardStats): boolean {
  if (a.seen !== b.seen || a.scored !== b.scored || a.pilot !== b.pilot) return false;
  return Object.entries(b.groups).every(([group, fingerprint]) => a.groups[group] === fingerprint);
}

/** Whether the shard is in the merged folder, perhaps with columns added since. */
async function isMerged(out: Folder, from: Folder, stats: ShardStats): Promise<boolean> {
  const there = await readStats(out, stats.shard);
  if (there === undefined) return false;
  if (sameInput(there.input, stats.input) && covers(there, stats)) return true;
  const lost = Object.keys(there.groups).filter((group) => !(group in stats.groups));
  if (lost.length === 0) return false;
  throw new MetadataError(
    `${out.label} holds another version of this shard, with ${lost.join(', ')} that ${from.label} has not`,
    { shard: stats.shard, hint: `Remove ${stats.shard}_stats.json there, or merge into another --out` },
  );
}

async function copyShard(from: Folder, shard: string, out: Folder, copy: CopyFile): Promise<void> {
  const files = shardFiles(shard);
  if (await out.has(files.stats)) await out.remove(files.stats);
  for (const name of [files.npz, files.skipped, files.parquet, files.stats]) {
    if (await from.has(name)) await copy(from, name, out);
    else if (await out.has(name)) await out.remove(name);
  }
}

/** What the parts' runs left undone and no other part did. */
async function unfinishedOf(
  parts: readonly Part[],
  owners: ReadonlyMap<string, Folder>,
): Promise<Unfinished> {
  const all: Unfinished = { pending: [], failed: [] };
  for (const { folder } of parts) {
    const { pending, failed } = await readUnfinished(folder);
    all.pending.push(...pending.filter((shard) => !owners.has(shard)));
    all.failed.push(...failed.filter(({ shard }) => !owners.has(shard)));
  }
  return all;
}

/** The folder of all parts is a whole and says nothing of parts. */
async function keepRecords(out: Folder, records: readonly PartRecord[]): Promise<void> {
  const kept = new Set(records.map(partFile));
  for (const name of await out.list()) {
    if (isOutcomeFile(name) && name.startsWith('part-') && !kept.has(name)) await out.remove(name);
  }
  for (const record of records) await recordPart(out, record);
}
