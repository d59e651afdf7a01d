import { realpath } from 'node:fs/promises';
import { MetadataError, UsageError } from '../../src/errors.ts';
import type { Folder } from '../../src/io/bytes.ts';
import { type MergeReport, mergeFolders } from '../../src/run/merge.ts';
import { mergeResharded } from '../../src/subset/merge.ts';
import { openResharded, type ReshardedFolder } from '../../src/subset/resharded.ts';
import { openFolder } from '../io/folder.ts';
import { linkOrCopy } from '../io/link.ts';

export interface MergeOptions {
  /** Folders of metadata, or of resharded samples, in the order of the parts. */
  parts: readonly string[];
  out: string;
  /** Merge although parts are missing, or an input of a resharded one failed. */
  partial?: boolean;
  /** Called after each shard. */
  onShard?: (shard: string) => void;
  signal?: AbortSignal;
}

export type MergeTotals =
  | ({ kind: 'metadata' } & MergeReport)
  | { kind: 'shards'; shards: number; samples: number };

/**
 * Merges what several machines wrote: metadata folders, or folders of resharded samples. Files are hard-linked where
 * one disk holds both. Throws `UsageError`, `MetadataError`, `OutputError`, `CancelledError`.
 */
export async function mergeParts(options: MergeOptions): Promise<MergeTotals> {
  const { parts, out, partial, onShard, signal } = options;
  await refuseOverlap(parts, out);
  const folders = parts.map((part) => openFolder(part, { readOnly: true }));
  const resharded = await openAll(folders);
  const target = openFolder(out);
  if (resharded !== undefined) {
    const common = { copy: linkOrCopy, partial, onShard, signal };
    return { kind: 'shards', ...(await mergeResharded(resharded, target, common)) };
  }
  const report = await mergeFolders(folders, target, {
    ...{ copy: linkOrCopy, partial, signal },
    onShard: (shard) => onShard?.(shard),
  });
  return { kind: 'metadata', ...report };
}

/** The folders as resharded ones, if they are. Throws `MetadataError` where only some of them are. */
async function openAll(folders: readonly Folder[]): Promise<ReshardedFolder[] | undefined> {
  const opened: ReshardedFolder[] = [];
  for (const folder of folders) {
    const resharded = await openResharded(folder);
    if (resharded !== undefined) opened.push(resharded);
  }
  if (opened.length === 0) return undefined;
  const other = folders.find((folder) => opened.every((resharded) => resharded.folder !== folder));
  if (other === undefined) return opened;
  throw new MetadataError(`${opened[0].folder.label} holds resharded samples and ${other.label} does not`, {
    hint: 'Merge metadata with metadata and shards with shards',
  });
}

async function refuseOverlap(parts: readonly string[], out: string): Promise<void> {
  const seen = new Map<string, string>();
  const target = await realpath(out).catch(() => undefined);
  for (const part of parts) {
    const path = await realpath(part).catch(() => {
      throw new UsageError(`there is no folder ${part}`);
    });
    if (path === target) {
      throw new UsageError(`${part} is one of the parts and the --out`, { hint: 'Give another --out' });
    }
    const twin = seen.get(path);
    if (twin !== undefined) throw new UsageError(`${part} and ${twin} are one folder`);
    seen.set(path, part);
  }
}
