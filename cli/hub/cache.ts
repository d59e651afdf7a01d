/**
 * The hub's cache on disk, in the layout of Python's `huggingface_hub`, so that a checkpoint is downloaded once
 * for both:
 *
 *     models--org--name/refs/<revision>              the commit, no newline
 *     models--org--name/snapshots/<commit>/<file>    -> ../../blobs/<etag>
 *     models--org--name/blobs/<etag>                 the bytes
 *     models--org--name/.no_exist/<commit>/<file>    empty: the hub said that there is no such file
 *
 * Where links cannot be made, the file itself lies in the snapshot: a new blob is moved there, one that was
 * there before is copied. Everything appears by a rename, so another process sees a file whole or not at all.
 */
import { randomBytes } from 'node:crypto';
import { constants, type Dirent } from 'node:fs';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { onDisk } from './disk.ts';
import { checkFile, checkRepo, checkRevision, isCommit } from './names.ts';

export interface RepoCache {
  repo: string;
  cacheDir: string;
  /** `<cacheDir>/models--org--name` */
  folder: string;
}

/** Throws `UsageError` for a name that is no repository's. */
export function repoCache(cacheDir: string, repo: string): RepoCache {
  checkRepo(repo);
  return { repo, cacheDir, folder: join(cacheDir, repoFolder(repo)) };
}

function repoFolder(repo: string): string {
  return ['models', ...repo.split('/')].join('--');
}

export function blobPath(cache: RepoCache, etag: string): string {
  return join(cache.folder, 'blobs', etag);
}

export function snapshotPath(cache: RepoCache, commit: string, file: string): string {
  checkFile(file);
  return join(cache.folder, 'snapshots', commit, ...file.split('/'));
}

export function lockPath(cache: RepoCache, etag: string): string {
  // Python's own `<etag>.lock` is held by flock, which Node lacks; a name beside it is not mistaken for it.
  return join(cache.cacheDir, '.locks', repoFolder(cache.repo), `${etag}.shardsieve.lock`);
}

export type Lookup =
  | { found: 'file'; path: string; commit: string; size: number }
  /** The hub was asked for this file at this commit and had none. */
  | { found: 'no_exist'; commit: string }
  | { found: 'nothing'; commit: string | undefined };

/** What the cache knows of a file; makes no request. A commit that no ref names is looked up as itself. */
export async function lookUp(cache: RepoCache, revision: string, file: string): Promise<Lookup> {
  checkRevision(revision);
  checkFile(file);
  const commit = isCommit(revision) ? revision : await readRef(cache, revision);
  if (commit === undefined) return { found: 'nothing', commit };
  const path = snapshotPath(cache, commit, file);
  const size = await fileSize(path);
  if (size !== undefined) return { found: 'file', path, commit, size };
  if ((await fileSize(noExistPath(cache, commit, file))) !== undefined) return { found: 'no_exist', commit };
  return { found: 'nothing', commit };
}

/** Commits that have a snapshot in the cache, sorted. */
export async function cachedCommits(cache: RepoCache): Promise<string[]> {
  const entries = await readdir(join(cache.folder, 'snapshots'), { withFileTypes: true }).catch(
    (): Dirent[] => [],
  );
  return entries
    .filter((entry) => entry.isDirectory() && isCommit(entry.name))
    .map((entry) => entry.name)
    .sort();
}

async function readRef(cache: RepoCache, revision: string): Promise<string | undefined> {
  const text = await readFile(refPath(cache, revision), 'utf8').catch(() => '');
  const commit = text.trim();
  return isCommit(commit) ? commit : undefined;
}

/** Records that `revision` is `commit`, which must have its snapshot already: a scan calls the reverse corrupt. */
export async function writeRef(cache: RepoCache, revision: string, commit: string): Promise<void> {
  checkRevision(revision);
  if (revision === commit || (await readRef(cache, revision)) === commit) return;
  const path = refPath(cache, revision);
  await onDisk(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${unique()}.tmp`;
    await writeFile(temporary, commit);
    await rename(temporary, path);
  });
}

/** Records that the hub has no such file. A cache that cannot be written only loses the record. */
export async function writeNoExist(cache: RepoCache, commit: string, file: string): Promise<void> {
  const path = noExistPath(cache, commit, file);
  await mkdir(dirname(path), { recursive: true })
    .then(() => writeFile(path, ''))
    .catch(() => undefined);
}

/**
 * Makes `snapshots/<commit>/<file>` show the blob, replacing a dangling or outdated entry. `isNew` says that no
 * other snapshot can refer to the blob yet. Returns the path. Throws `OutputError`.
 */
export async function linkSnapshot(
  cache: RepoCache,
  commit: string,
  file: string,
  etag: string,
  options: { isNew: boolean; noSymlinks: boolean },
): Promise<string> {
  const path = snapshotPath(cache, commit, file);
  const blob = blobPath(cache, etag);
  await onDisk(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${unique()}.tmp`;
    if (!options.noSymlinks && (await canLink(cache.cacheDir))) {
      // Relative, so that the cache can be moved or mounted elsewhere.
      await symlink(relative(dirname(path), blob), temporary, 'file');
      await rename(temporary, path);
    } else if (options.isNew) {
      await rename(blob, path);
    } else {
      await copyFile(blob, temporary, constants.COPYFILE_FICLONE);
      await rename(temporary, path);
    }
  });
  return path;
}

const linkable = new Map<string, Promise<boolean>>();

/** Whether links can be made in this folder: it depends on the mounted disk, so it is tried. */
function canLink(folder: string): Promise<boolean> {
  let known = linkable.get(folder);
  if (known === undefined) {
    known = tryLink(folder);
    linkable.set(folder, known);
    // A full or vanished disk says nothing about links: ask again next time.
    known.catch(() => linkable.delete(folder));
  }
  return known;
}

async function tryLink(folder: string): Promise<boolean> {
  const trial = await mkdtemp(join(folder, '.shardsieve-'));
  try {
    await writeFile(join(trial, 'target'), '');
    return await symlink('target', join(trial, 'link'), 'file').then(
      () => true,
      () => false,
    );
  } finally {
    await rm(trial, { recursive: true, force: true });
  }
}

const CACHE_TAG = 'Signature: 8a477f597d28d172789f06886806bc55\n# Downloads that can be fetched again.\n';

/** The repository's folders, and the tag by which backup programs skip a cache (bford.info/cachedir). */
export async function prepareCache(cache: RepoCache): Promise<void> {
  await onDisk(cache.folder, async () => {
    await mkdir(join(cache.folder, 'blobs'), { recursive: true });
    await writeFile(join(cache.cacheDir, 'CACHEDIR.TAG'), CACHE_TAG, { flag: 'wx' }).catch(() => undefined);
  });
}

/** Bytes of a regular file, through links; `undefined` where there is none or a link dangles. */
export async function fileSize(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true ? found.size : undefined;
}

export function unique(): string {
  return randomBytes(4).toString('hex');
}

function refPath(cache: RepoCache, revision: string): string {
  return join(cache.folder, 'refs', ...revision.split('/'));
}

function noExistPath(cache: RepoCache, commit: string, file: string): string {
  return join(cache.folder, '.no_exist', commit, ...file.split('/'));
}
