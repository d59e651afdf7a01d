import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MetadataError, messageOf, UsageError } from '../../src/errors.ts';
import type { OnEvent } from '../../src/run/events.ts';
import { type RemoveReport, removeSamples } from '../../src/subset/remove.ts';
import { parseUidList } from '../../src/subset/uid-list.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { isShardName, shardBaseName } from '../../src/webdataset/names.ts';
import { fileSource } from '../io/file.ts';
import { openFolder } from '../io/folder.ts';
import { gunzipNode } from '../io/gunzip.ts';

export interface RemoveOptions {
  /** The folder of shards, which is changed in place. */
  folder: string;
  /** Uids to be removed: text, one a line, or `u8,u8` npy, or raw 16-byte records. */
  uids: string;
  /** Where uids come from; must be what scoring used. */
  uid?: string;
  /** Count everything and write nothing. */
  dryRun?: boolean;
  onEvent?: OnEvent;
  signal?: AbortSignal;
}

/**
 * Takes samples out of the shards of a folder; only shards that hold one of them are written anew. Shards that cannot
 * be read are in the report; the others go on. Throws `UsageError`, `MetadataError`, `OutputError`, `CancelledError`.
 */
export async function removeFromShards(options: RemoveOptions): Promise<RemoveReport> {
  const { folder: path, uid, dryRun, signal } = options;
  const onEvent = options.onEvent ?? (() => {});
  const bytes = await readFile(options.uids).catch((cause: unknown) => {
    throw new MetadataError(`the list of uids cannot be read: ${messageOf(cause)}`, {
      file: options.uids,
      cause,
    });
  });
  const uids = new UidSet(parseUidList(bytes, options.uids));
  if (uids.size === 0) throw new UsageError('the list of uids is empty', { file: options.uids });
  if (!(await stat(path).catch(() => undefined))?.isDirectory()) {
    throw new UsageError(`${path} is no folder`, {
      hint: 'Samples are removed from all shards of one folder',
    });
  }
  const folder = openFolder(path, { readOnly: dryRun });
  const names = (await folder.list()).filter((name) => isShardName(name) && !name.startsWith('.'));
  if (names.length === 0) throw new UsageError(`the folder ${path} has no .tar, .tar.gz or .tgz in it`);
  const shards = names.map((name) => {
    const source = fileSource(join(path, basename(name)));
    return { name, source, shard: shardBaseName(name) };
  });
  let total = 0;
  for (const { source } of shards) total += (await source.identity()).size ?? 0;
  onEvent({ type: 'plan', shards: shards.length, pending: shards.length, reused: 0, bytes: total });
  return removeSamples(folder, shards, uids, {
    ...{ uid, dryRun, signal, gunzip: gunzipNode },
    onSample: (removed) => onEvent({ type: 'sample', outcome: removed ? 'skipped' : 'scored' }),
    onBytes: (read) => onEvent({ type: 'bytes', bytes: read }),
    onShard: ({ name, error }) =>
      onEvent({
        ...{ type: 'shard', shard: name, state: error === undefined ? 'done' : 'failed' },
        ...(error === undefined ? {} : { message: error.message }),
      }),
  });
}
