/**
 * The bytes of a blob that have come so far. While a process writes them they have a name of its own,
 * `<etag>.shardsieve-<id>.incomplete`; when it stops before the end, it parks them as
 * `<etag>.shardsieve.incomplete`, from where the next one goes on. What a killed process left, or Python as
 * `<etag>.incomplete`, may still have a writer: it is copied, never taken.
 */
import { constants } from 'node:fs';
import { copyFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { blobPath, fileSize, type RepoCache } from './cache.ts';
import { onDisk } from './disk.ts';

export interface PartialBlob {
  path: string;
  /** Keeps the bytes for the next run; nothing is kept where there are none. */
  park(): Promise<void>;
  /** Moves the bytes to `blobs/<etag>` and removes what others left of them. */
  promote(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Starts the file of one holder of the lock. `resume` false (bytes that cannot be checked at the end) starts
 * with nothing; `maxBytes` is the file's size where it is known.
 */
export async function openPartial(
  cache: RepoCache,
  etag: string,
  id: string,
  options: { resume: boolean; maxBytes: number },
): Promise<PartialBlob> {
  const path = `${blobPath(cache, etag)}.shardsieve-${id}.incomplete`;
  const parked = `${blobPath(cache, etag)}.shardsieve.incomplete`;
  if (options.resume) await adopt(cache, etag, path, parked, options.maxBytes);
  return {
    path,
    async park() {
      if (!options.resume || !(await fileSize(path))) return rm(path, { force: true });
      // Where even a rename fails there is nothing to keep, and the reason has been reported already.
      await rename(path, parked).catch(() => rm(path, { force: true }));
    },
    async promote() {
      await onDisk(path, () => rename(path, blobPath(cache, etag)));
      await rm(parked, { force: true }).catch(() => undefined);
      for (const orphan of await orphans(cache, etag))
        await rm(orphan, { force: true }).catch(() => undefined);
    },
    discard: () => rm(path, { force: true }),
  };
}

/** Begins with the longest run of bytes that is lying about. */
async function adopt(cache: RepoCache, etag: string, path: string, parked: string, maxBytes: number) {
  const copies = [...(await orphans(cache, etag)), `${blobPath(cache, etag)}.incomplete`];
  let best: { path: string; size: number } | undefined;
  for (const candidate of [parked, ...copies]) {
    const size = (await fileSize(candidate)) ?? 0;
    if (size > (best?.size ?? 0) && size <= maxBytes) best = { path: candidate, size };
  }
  if (best === undefined) return;
  const source = best.path;
  const move = source === parked ? rename(source, path) : copyFile(source, path, constants.COPYFILE_FICLONE);
  // No room for a copy, or gone meanwhile: start at the first byte.
  await move.catch(() => rm(path, { force: true }));
}

async function orphans(cache: RepoCache, etag: string): Promise<string[]> {
  const folder = join(cache.folder, 'blobs');
  const names = await readdir(folder).catch((): string[] => []);
  const prefix = `${etag}.shardsieve-`;
  return names
    .filter((name) => name.startsWith(prefix) && name.endsWith('.incomplete'))
    .map((name) => join(folder, name));
}
