import type { Folder } from '../io/bytes.ts';
import { writeFile } from '../metadata/folder.ts';
import { parseJsonObject } from '../metadata/json.ts';
import { parseSubset, writeSubset } from '../uids/npy.ts';
import type { UidSet } from '../uids/uid-set.ts';
import type { Uids } from '../uids/uids.ts';
import { CREATED_BY, encode, META, readMeta, SAMPLE_IDS, SIZES } from './output.ts';
import type { ShardRemoval } from './remove.ts';

/**
 * Brings what lies beside the shards up to date: `<shard>_stats.json`, `sizes.json`, `meta.json` and `sample_ids.npy`,
 * those that are there, and in them only what counts samples; each only where it changes. In a folder that Shardsieve
 * wrote all counts are put right, in any other those of the shards that were written anew.
 */
export async function updateCounts(
  folder: Folder,
  shards: readonly ShardRemoval[],
  isRemoved: (index: number) => boolean,
  uids: UidSet,
): Promise<void> {
  const meta = await readMeta(folder);
  const isOurs = meta?.['created_by'] === CREATED_BY;
  const read = shards.filter(({ error }) => error === undefined);
  const counted = read.filter(({ removed }) => isOurs || removed > 0);
  if (counted.length === 0) return;
  for (const { name, seen, removed } of counted) {
    await set(folder, name.replace(/\.tar$/, '_stats.json'), { successes: seen - removed });
  }
  await set(
    folder,
    SIZES,
    Object.fromEntries(counted.map(({ name, seen, removed }) => [name, seen - removed])),
  );
  const removed = read.reduce((sum, shard) => sum + shard.removed, 0);
  const isWhole = isOurs && read.length === shards.length && meta['output_shard_count'] === shards.length;
  const before = meta?.['output_count'];
  if (typeof before === 'number') {
    const left = read.reduce((sum, shard) => sum + shard.seen - shard.removed, 0);
    await set(folder, META, { output_count: isWhole ? left : before - removed });
  }
  // What an unread shard still holds is still among the samples.
  const isGone = (index: number) => index >= 0 && (isWhole || isRemoved(index));
  await dropIds(folder, uids, isGone);
}

/** Sets fields of a JSON file that is there. */
async function set(folder: Folder, name: string, fields: { [field: string]: number }): Promise<void> {
  const bytes = await folder.read(name);
  if (bytes === undefined) return;
  const there = parseJsonObject(bytes, `${folder.label}/${name}`);
  const isNews = Object.entries(fields).some(([field, value]) => there[field] !== value);
  if (isNews) await writeFile(folder, name, encode({ ...there, ...fields }));
}

async function dropIds(folder: Folder, uids: UidSet, isGone: (index: number) => boolean): Promise<void> {
  const bytes = await folder.read(SAMPLE_IDS);
  if (bytes === undefined) return;
  const ids = parseSubset(bytes, `${folder.label}/${SAMPLE_IDS}`);
  const left: Uids = new BigUint64Array(ids.length);
  let at = 0;
  for (let i = 0; i < ids.length; i += 2) {
    if (isGone(uids.findIn(ids, i / 2))) continue;
    left[at++] = ids[i];
    left[at++] = ids[i + 1];
  }
  if (at < ids.length) await writeSubset(folder, SAMPLE_IDS, left.slice(0, at), { multiset: true });
}
