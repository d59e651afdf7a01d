/** Annotating a copy of a foreign folder: the folder itself stays as it is. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { CancelledError, MetadataError } from '../errors.ts';
import type { Folder, SourceIdentity } from '../io/bytes.ts';
import { takePart } from '../io/part.ts';
import { commitFiles, withoutDerived } from '../metadata/commit.ts';
import { COPY_FILE, type CopyRecord, checkSameShards, encodeCopy, ORIGINAL_GROUP } from '../metadata/copy.ts';
import {
  differing,
  inspectFolder,
  type MetadataFolder,
  readStats,
  shardFiles,
  unusedGroups,
  writeFile,
} from '../metadata/folder.ts';
import { openParquet } from '../metadata/parquet-read.ts';
import { mergeGroups } from '../metadata/run.ts';
import { completeStats, type ShardStats, sameInput } from '../metadata/stats.ts';
import { VERSION } from '../version.ts';
import type { AnnotateJob, AnnotateTotals } from './job.ts';
import { announce, announceGroup, checkFree, missingOf, outdates, rowsOf } from './own.ts';
import { punsafeFor } from './punsafe.ts';
import type { Annotator } from './types.ts';
import { writeAdded } from './write.ts';

/** Where a copy is made: of `source` to `out`, or in place of a copy, whose `record` is then given. */
interface CopyPlan {
  source: MetadataFolder;
  record: CopyRecord | undefined;
  out: Folder;
}

interface Planned {
  shard: string;
  /** Of the foreign parquet. */
  input: SourceIdentity;
  /** What `out` has of it, where it was made from this very input. */
  stats: ShardStats | undefined;
  missing: Annotator[];
}

/** Copies what is missing, shard by shard. */
export async function annotateCopy(
  job: AnnotateJob,
  { source, record, out }: CopyPlan,
  totals: AnnotateTotals,
): Promise<void> {
  const inPlace = record !== undefined;
  const before = record ?? (await openCopy(source, out));
  if (inPlace) checkWhole(source, before);
  const found: Omit<Planned, 'missing'>[] = [];
  for (const shard of takePart(before.shards, job.part))
    found.push(await findShard(job, source, out, shard, inPlace));
  const state = { folder: out, committed: await committedIn(out), copy: before };
  const derived = await punsafeFor(state, job.annotators);
  const annotators = derived === undefined ? job.annotators : [...job.annotators, derived];
  announceGroup(totals, derived);
  const groups = Object.fromEntries(annotators.map(({ group, entry }) => [group, entry]));
  const committed = found.filter(({ stats }) => stats !== undefined).map(({ shard }) => shard);
  const unused = await unusedGroups(out, committed, differing(before.groups, groups));
  const kept = Object.fromEntries(Object.entries(before.groups).filter(([group]) => !unused.has(group)));
  const merged = { ...before, groups: mergeGroups(kept, groups, { label: out.label, file: COPY_FILE }) };
  const plan = found.map((item): Planned => {
    return { ...item, missing: missingOf(item.stats, annotators, item.shard, out.label) };
  });
  await writeFile(out, COPY_FILE, encodeCopy(merged));
  if (!inPlace) await noteOthers(job, source);
  announce(job, plan.length, plan.filter(({ missing }) => missing.length > 0).length);
  for (const item of plan) {
    if (job.signal?.aborted) throw new CancelledError();
    if (item.missing.length === 0) {
      totals.rows += item.stats!.scored;
      totals.shards.reused.push(item.shard);
      job.onEvent({ type: 'shard', shard: item.shard, state: 'reused' });
      continue;
    }
    totals.rows += await copyShard(job, out, item, inPlace, totals);
    totals.shards.done.push(item.shard);
    job.onEvent({ type: 'shard', shard: item.shard, state: 'done' });
  }
}

async function committedIn(out: Folder): Promise<Set<string>> {
  return (await inspectFolder(out)).committed;
}

/** The record of `out`, or a new one where it is empty. Throws where it holds anything else. */
async function openCopy(source: MetadataFolder, out: Folder): Promise<CopyRecord> {
  const there = await inspectFolder(out);
  if (there.copy !== undefined) {
    checkSameShards(there.copy, source.shards, out.label);
    return there.copy;
  }
  if (there.kind === 'empty') return { shardsieve: VERSION, shards: [...source.shards], groups: {} };
  throw new MetadataError(`${out.label} is not empty and no copy of ${source.folder.label}`, {
    hint: 'Write to an empty or new --out',
  });
}

function checkWhole({ folder, committed }: MetadataFolder, { shards }: CopyRecord): void {
  const halves = shards.filter((shard) => !committed.has(shard));
  if (halves.length === 0) return;
  throw new MetadataError(`${folder.label} lacks ${halves.join(', ')}: making the copy was interrupted`, {
    hint: 'Run annotate on the original with this --out again',
  });
}

/** What there is of a shard, in the foreign folder and in the copy. */
async function findShard(
  job: AnnotateJob,
  source: MetadataFolder,
  out: Folder,
  shard: string,
  inPlace: boolean,
): Promise<Omit<Planned, 'missing'>> {
  const stats = await readStats(out, shard);
  if (inPlace) return { shard, input: stats!.input, stats };
  const input = await identify(source.folder, `${shard}.parquet`);
  if (stats === undefined || sameInput(stats.input, input)) return { shard, input, stats };
  const lost = Object.keys(stats.groups).filter(
    (group) => group !== ORIGINAL_GROUP && !job.annotators.some((annotator) => annotator.group === group),
  );
  const gone = lost.length > 0 ? `; ${lost.join(', ')} of it have to be added again` : '';
  job.onEvent({ type: 'note', text: `${shard} changed since it was copied: it is copied again${gone}` });
  return { shard, input, stats: undefined };
}

/** A parquet by its size and its footer, which has the place, size and statistics of all that is in it. */
async function identify(folder: Folder, name: string): Promise<SourceIdentity> {
  const { size, slice } = await folder.open(name);
  const tail = await slice(Math.max(0, size - 8), size);
  const length = tail.length === 8 ? new DataView(tail.buffer, tail.byteOffset).getUint32(0, true) : 0;
  const footer = await slice(Math.max(0, size - 8 - Math.min(length, 2 ** 28)), size);
  return { name, size, etag: `footer-${bytesToHex(sha256(footer)).slice(0, 32)}` };
}

async function copyShard(
  job: AnnotateJob,
  out: Folder,
  { shard, input, stats, missing }: Planned,
  inPlace: boolean,
  totals: AnnotateTotals,
): Promise<number> {
  const { parquet: name, npz, stats: statsFile } = shardFiles(shard);
  // A shard that is there already has the earlier groups' columns.
  const from = stats === undefined ? job.folder : out;
  const parquet = await openParquet(from, name);
  const file = `${from.label}/${name}`;
  const original = stats?.columns[ORIGINAL_GROUP] ?? parquet.columns.map((column) => column.name);
  checkFree(missing, new Set(original), file);
  const fresh = missing.map(({ group, schema }) => [group, schema.map((column) => column.name)] as const);
  const before = { groups: stats?.groups ?? {}, columns: stats?.columns ?? {} };
  const kept = outdates(missing) ? withoutDerived(before) : before;
  const columns: ShardStats['columns'] = {
    ...kept.columns,
    [ORIGINAL_GROUP]: original,
    ...Object.fromEntries(fresh),
  };
  const { [ORIGINAL_GROUP]: first, ...later } = columns;
  const added = Object.keys(later).sort();
  const complete = completeStats({
    shard,
    input,
    seen: parquet.rows,
    scored: parquet.rows,
    skipped: {},
    groups: {
      [ORIGINAL_GROUP]: 'original',
      ...kept.groups,
      ...Object.fromEntries(missing.map(({ group, fingerprint }) => [group, fingerprint])),
    },
    columns,
  });
  if (!inPlace) {
    if (stats === undefined && (await out.has(statsFile))) await out.remove(statsFile);
    if (await job.folder.has(npz)) await job.carry?.(npz);
    else if (await out.has(npz)) await out.remove(npz);
  }
  await commitFiles(out, statsFile, complete, [
    {
      name,
      write: (sink) =>
        writeAdded(sink, {
          ...{ from, name, annotators: missing, totals },
          order: [...first, ...added.flatMap((group) => later[group])],
          rows: { ...rowsOf(job), shard, parquet, file },
        }),
    },
  ]);
  return parquet.rows;
}

/** Says what a copy does not have: nothing is left behind unsaid. */
async function noteOthers(job: AnnotateJob, { folder, shards }: MetadataFolder): Promise<void> {
  const known = new Set(shards.flatMap((shard) => [`${shard}.parquet`, `${shard}.npz`]));
  const others = (await folder.list()).filter((name) => !known.has(name));
  if (others.length === 0) return;
  const shown = others.slice(0, 3).join(', ');
  job.onEvent({
    type: 'note',
    text: `not copied, for they are neither parquet nor npz: ${shown}${others.length > 3 ? ` and ${others.length - 3} more` : ''}`,
  });
}
