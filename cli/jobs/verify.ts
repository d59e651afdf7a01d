import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { UsageError } from '../../src/errors.ts';
import { type VerifyReport, verify } from '../../src/run/verify.ts';
import { openFolder, temporaryFiles } from '../io/folder.ts';
import { openShards, type Shards } from './shards.ts';

export interface VerifyOptions extends Pick<Shards, 'part'> {
  /** Folders of metadata, anybody's, or of shards that reshard wrote. */
  folders: readonly string[];
  /** What the metadata was made from; as `shards` everywhere. */
  shards?: string | readonly string[];
  /** Read embeddings, the shards' bytes and resharded tars too. */
  deep?: boolean;
  onShard?: (shard: string) => void;
  signal?: AbortSignal;
}

/**
 * Checks folders and what they were made from; what is wrong is in the report. Throws `UsageError` where a folder is
 * not there, `CancelledError`.
 */
export async function verifyFolders(options: VerifyOptions): Promise<VerifyReport> {
  const { folders, shards, part, deep, onShard, signal } = options;
  for (const folder of folders) {
    const found = await stat(folder).catch(() => undefined);
    if (!found?.isDirectory()) throw new UsageError(`there is no folder ${folder}`);
  }
  const report = await verify(
    folders.map((folder) => openFolder(folder, { readOnly: true })),
    {
      ...(shards === undefined ? {} : { sources: await openShards({ shards, part }) }),
      ...{ deep, onShard, signal },
      hasher: () => {
        const hash = createHash('sha256');
        return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') };
      },
    },
  );
  for (const folder of folders) {
    const left = await temporaryFiles(folder);
    if (left.length === 0) continue;
    report.findings.push({
      ...{ code: 'stray_file', level: 'note', folder },
      message: 'temporary files of a run that is going on, or was killed',
      places: left.map((file) => ({ file, detail: '' })),
      hint: 'The next run into this folder removes what is dead',
    });
  }
  return report;
}
