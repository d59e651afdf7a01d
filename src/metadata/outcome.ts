import { MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { parseJsonObject } from './json.ts';

/**
 * What a metadata folder does not hold of the pool it was made from: the parts that other machines score, and the
 * shards that a run was given and did not finish. Each part has files of its own, so that several may write into one
 * folder; the folder of a whole pool in which nothing failed has none of them.
 *
 * - `part-<i>-of-<n>.json`: that part's shards are scored into this folder
 * - `unfinished.json`, `unfinished-<i>-of-<n>.json`: shards that failed, or were not reached. Written before the
 *   first shard is scored and removed when the last one is, so a run that is killed leaves it too.
 */

export interface PartRecord {
  /** From 0, of `count`. */
  index: number;
  count: number;
  /** Shards of this part. */
  shards: number;
  /** Shards of the whole list. */
  pool: number;
  /** Fingerprint of the whole list's base names: parts of different lists do not make a whole. */
  list: string;
}

export interface FailedShard {
  shard: string;
  problem: string;
  message: string;
}

export interface Unfinished {
  /** Base names of shards that were not reached, because a run or a pilot ended before. */
  pending: string[];
  failed: FailedShard[];
}

const PART = /^part-(\d+)-of-(\d+)\.json$/;
const UNFINISHED = /^unfinished(?:-\d+-of-\d+)?\.json$/;

export function partFile({ index, count }: { index: number; count: number }): string {
  return `part-${index}-of-${count}.json`;
}

export function unfinishedFile(part?: { index: number; count: number }): string {
  return part === undefined ? 'unfinished.json' : `unfinished-${part.index}-of-${part.count}.json`;
}

/** Whether a file of a metadata folder is one of these. */
export function isOutcomeFile(name: string): boolean {
  return PART.test(name) || UNFINISHED.test(name);
}

/** The parts that a folder was made of, by count and index. Throws `MetadataError` at a damaged record. */
export async function readParts(folder: Folder): Promise<PartRecord[]> {
  const parts: PartRecord[] = [];
  for (const name of await folder.list()) {
    const match = PART.exec(name);
    if (match === null) continue;
    const file = `${folder.label}/${name}`;
    const { shards, pool, list } = parseJsonObject((await folder.read(name)) ?? new Uint8Array(), file);
    if (typeof shards !== 'number' || typeof pool !== 'number' || typeof list !== 'string') {
      throw new MetadataError('not the record of a part', { file, hint: 'Run that part again' });
    }
    parts.push({ index: Number(match[1]), count: Number(match[2]), shards, pool, list });
  }
  return parts.sort((a, b) => a.count - b.count || a.index - b.index);
}

/** Indexes that are not there of the parts that are; empty for a whole, and for a folder made without parts. */
export function missingParts(parts: readonly PartRecord[]): { index: number; count: number }[] {
  const missing: { index: number; count: number }[] = [];
  for (const count of new Set(parts.map((part) => part.count))) {
    const there = new Set(parts.filter((part) => part.count === count).map(({ index }) => index));
    for (let index = 0; index < count; index++) if (!there.has(index)) missing.push({ index, count });
  }
  return missing;
}

/** What runs left undone, over all parts, sorted. Throws `MetadataError` at a damaged record. */
export async function readUnfinished(folder: Folder): Promise<Unfinished> {
  const all: Unfinished = { pending: [], failed: [] };
  for (const name of (await folder.list()).filter((file) => UNFINISHED.test(file))) {
    const { pending, failed } = await readUnfinishedFile(folder, name);
    all.pending.push(...pending);
    all.failed.push(...failed);
  }
  return sortUnfinished(all);
}

/** One of the records; empty where there is none. */
export async function readUnfinishedFile(folder: Folder, name: string): Promise<Unfinished> {
  const bytes = await folder.read(name);
  if (bytes === undefined) return { pending: [], failed: [] };
  const file = `${folder.label}/${name}`;
  const { pending, failed } = parseJsonObject(bytes, file);
  const isText = (value: unknown): value is string => typeof value === 'string';
  if (Array.isArray(pending) && pending.every(isText) && Array.isArray(failed) && failed.every(isFailure)) {
    return { pending, failed };
  }
  throw new MetadataError('not the record of unfinished shards', {
    file,
    hint: 'Remove it and run score again',
  });
}

export function sortUnfinished({ pending, failed }: Unfinished): Unfinished {
  const byShard = new Map(failed.map((failure) => [failure.shard, failure]));
  return {
    pending: [...new Set(pending)].filter((shard) => !byShard.has(shard)).sort(),
    failed: [...byShard.values()].sort((a, b) => (a.shard < b.shard ? -1 : 1)),
  };
}

export function encodeOutcome(value: PartRecord | Unfinished): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}

function isFailure(value: unknown): value is FailedShard {
  if (typeof value !== 'object' || value === null) return false;
  const { shard, problem, message } = value as { [field: string]: unknown };
  return typeof shard === 'string' && typeof problem === 'string' && typeof message === 'string';
}
