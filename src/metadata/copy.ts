import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { parseJsonObject } from './json.ts';
import type { RunEntry } from './run.ts';

/**
 * `annotated.json`: marks a folder as Shardsieve's copy of somebody else's metadata with columns added, and says
 * which shards make it whole and what the added columns were made with. It is written first: a folder that has it
 * and lacks a shard's `_stats.json` is half written.
 */
export interface CopyRecord {
  /** Shardsieve's version that began the folder. */
  shardsieve: string;
  /** Base names of the shards of the folder that is copied, sorted. */
  shards: string[];
  groups: { [group: string]: RunEntry };
}

export const COPY_FILE = 'annotated.json';

/** The group of `_stats.json` that stands for the columns that were there. */
export const ORIGINAL_GROUP = 'rows';

/** The record of a folder, or `undefined` where there is none. Throws `MetadataError` where it is damaged. */
export async function readCopy(folder: Folder): Promise<CopyRecord | undefined> {
  const bytes = await folder.read(COPY_FILE);
  if (bytes === undefined) return undefined;
  const file = `${folder.label}/${COPY_FILE}`;
  const { shardsieve, shards, groups } = parseJsonObject(bytes, file);
  const names = Array.isArray(shards) ? shards.filter((shard) => typeof shard === 'string') : [];
  if (
    typeof shardsieve !== 'string' ||
    !Array.isArray(shards) ||
    names.length !== shards.length ||
    !isEntries(groups)
  ) {
    throw new MetadataError('not a record that Shardsieve wrote', { file });
  }
  return { shardsieve, shards: names, groups };
}

export function encodeCopy(record: CopyRecord): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`);
}

/** Throws `UsageError` unless the copy in `label` is of the same shards. */
export function checkSameShards(record: CopyRecord, shards: readonly string[], label: string): void {
  const strange = [
    ...shards.filter((shard) => !record.shards.includes(shard)),
    ...record.shards.filter((shard) => !shards.includes(shard)),
  ];
  if (strange.length === 0) return;
  throw new UsageError(`${label} is a copy of other metadata: ${strange[0]} is in one of them only`, {
    hint: 'Write to another --out',
  });
}

function isEntries(value: unknown): value is { [group: string]: RunEntry } {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every(
      (entry) => typeof entry === 'object' && entry !== null && typeof entry.fingerprint === 'string',
    )
  );
}
