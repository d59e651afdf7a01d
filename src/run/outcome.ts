import type { Folder } from '../io/bytes.ts';
import { type Part, takePart } from '../io/part.ts';
import { writeFile } from '../metadata/folder.ts';
import {
  encodeOutcome,
  type PartRecord,
  partFile,
  readUnfinishedFile,
  sortUnfinished,
  type Unfinished,
  unfinishedFile,
} from '../metadata/outcome.ts';
import { fingerprint } from './fingerprint.ts';

/** The record of a part, and its shards. Throws `UsageError` where there are more parts than shards. */
export function planPart<T extends { shard: string }>(
  sources: readonly T[],
  part: Part,
): { sources: T[]; record: PartRecord } {
  const own = takePart(sources, part);
  const list = fingerprint({ kind: 'shards', names: sources.map(({ shard }) => shard) });
  return { sources: own, record: { ...part, shards: own.length, pool: sources.length, list } };
}

/** Says in the folder that it holds a part; the same bytes from run to run. */
export async function recordPart(folder: Folder, record: PartRecord): Promise<void> {
  await writeChanged(folder, partFile(record), encodeOutcome(record));
}

/**
 * Says in the folder what this run leaves undone, beside what earlier ones left undone of shards that this run did
 * not settle. No file is left where there is nothing.
 */
export async function recordUnfinished(
  folder: Folder,
  part: { index: number; count: number } | undefined,
  run: Unfinished & { finished: readonly string[] },
): Promise<void> {
  const name = unfinishedFile(part);
  const earlier = await readUnfinishedFile(folder, name);
  const settled = new Set([...run.finished, ...run.failed.map(({ shard }) => shard)]);
  const left = sortUnfinished({
    pending: [...earlier.pending, ...run.pending].filter((shard) => !settled.has(shard)),
    failed: [...earlier.failed.filter(({ shard }) => !settled.has(shard)), ...run.failed],
  });
  if (left.pending.length + left.failed.length > 0) await writeChanged(folder, name, encodeOutcome(left));
  else if (await folder.has(name)) await folder.remove(name);
}

async function writeChanged(folder: Folder, name: string, bytes: Uint8Array): Promise<void> {
  const there = await folder.read(name);
  const same = there?.length === bytes.length && there.every((byte, i) => byte === bytes[i]);
  if (!same) await writeFile(folder, name, bytes);
}

/** How many shards may fail: a number of them, or a share of those that the run is given. */
export type MaxFailed = { shards: number } | { share: number };

/** The bound in shards of a run over `shards` of them. */
export function failuresAllowed(max: MaxFailed, shards: number): number {
  // 1% of 100 is 1, though 0.01 · 100 may come out a little below it.
  return 'shards' in max ? max.shards : Math.floor(max.share * shards + 1e-9);
}
