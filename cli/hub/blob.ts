/** A blob of known tag and size: linked where it is here, downloaded once where it is not. */
import { pause } from '../../src/io/pause.ts';
import type { Asked } from './answers.ts';
import {
  blobPath,
  fileSize,
  linkSnapshot,
  lockPath,
  lookUp,
  prepareCache,
  type RepoCache,
  writeRef,
} from './cache.ts';
import { checkRoom } from './disk.ts';
import { acquireLock, type LockTimes } from './lock.ts';
import { addressOf, type FileMetadata, MAX_FILE_BYTES } from './metadata.ts';
import { openPartial, type PartialBlob } from './partial.ts';
import type { RequestTools } from './request.ts';
import { type Failed, type Outcome, type RetryTools, retrying } from './retry.ts';
import { damaged, type Transfer, transferOnce } from './transfer.ts';
import { isContentHash, mismatch } from './verify.ts';

export interface HubFile {
  /** In `snapshots/<commit>/`; mostly a link into `blobs`. */
  path: string;
  commit: string;
  /** Bytes. */
  size: number;
  /** False where bytes were downloaded. */
  fromCache: boolean;
}

export interface DownloadProgress {
  file: string;
  /** Bytes that are here, those of an earlier run included. */
  received: number;
  /** Bytes of the whole, where the server says them. */
  total: number | undefined;
}

export interface BlobOptions extends RetryTools {
  onProgress?: (progress: DownloadProgress) => void;
  lockTimes?: Partial<LockTimes>;
}

/** Downloads as many times as this before a file that fails its hash is given up. */
const MAX_DOWNLOADS = 2;

export interface Job {
  request: BlobOptions;
  asked: Asked;
  cache: RepoCache;
  tools: RequestTools;
}

/** The file at a commit, its tag and size known. Throws `OutputError` and `CancelledError`. */
export async function obtain(metadata: FileMetadata, job: Job): Promise<Outcome<HubFile>> {
  const { cache, asked, tools } = job;
  const { commit, etag, size } = metadata;
  const there = await lookUp(cache, commit, asked.file);
  if (there.found === 'file' && (size === undefined || there.size === size)) {
    // The cache may be read-only, and a ref is only a shortcut.
    await writeRef(cache, asked.revision, commit).catch(() => undefined);
    return cached(there);
  }
  await prepareCache(cache);
  const isThere = async () => {
    const blob = await fileSize(blobPath(cache, etag));
    return blob !== undefined && (size === undefined || blob === size);
  };
  let isNew = false;
  if (!(await isThere())) {
    const downloaded = await downloadBlob(metadata, job, isThere);
    if (!downloaded.ok) return downloaded;
    isNew = downloaded.value;
  }
  const path = await linkSnapshot(cache, commit, asked.file, etag, {
    isNew,
    noSymlinks: tools.settings.noSymlinks,
  });
  await writeRef(cache, asked.revision, commit);
  return { ok: true, value: { path, commit, size: (await fileSize(path)) ?? 0, fromCache: !isNew } };
}

/** Brings `blobs/<etag>` about; true where this process downloaded it, false where another did. */
export async function downloadBlob(
  metadata: FileMetadata,
  job: Job,
  isThere: () => Promise<boolean>,
): Promise<Outcome<boolean>> {
  const { cache, asked, request } = job;
  const { etag } = metadata;
  const lock = await acquireLock(lockPath(cache, etag), {
    isDone: isThere,
    onWait: () => request.onNote?.(`another process is downloading ${asked.file}: waiting for it`),
    pause: (ms) => pause(ms, request.signal),
    times: request.lockTimes,
  });
  if (lock === undefined) return { ok: true, value: false };
  try {
    if (await isThere()) return { ok: true, value: false };
    const maxBytes = metadata.size ?? MAX_FILE_BYTES;
    const partial = await openPartial(cache, etag, lock.id, { resume: isContentHash(etag), maxBytes });
    try {
      const outcome = await fill(partial, metadata, job);
      if (!outcome.ok) return outcome;
      await partial.promote();
      return { ok: true, value: true };
    } finally {
      await partial.park();
    }
  } finally {
    await lock.release();
  }
}

/** Downloads until the partial file is whole and right. A wrong one is thrown away and fetched once more. */
async function fill(partial: PartialBlob, metadata: FileMetadata, job: Job): Promise<Outcome<void>> {
  const { asked, cache, request, tools } = job;
  const { commit, etag, size } = metadata;
  const url = addressOf(asked, commit);
  for (let downloads = 1; ; downloads++) {
    const here = (await fileSize(partial.path)) ?? 0;
    if (size !== undefined) await checkRoom(cache.folder, size - here);
    const transfer: Transfer = {
      asked,
      commit,
      size,
      path: partial.path,
      onBytes: (received) => request.onProgress?.({ file: asked.file, received, total: size }),
      received: 0,
      // Bytes that cannot be checked at the end are not pieced together from several answers.
      wholeOnly: !isContentHash(etag),
    };
    const outcome = await retrying(() => transferOnce(transfer, tools), request);
    const failed = outcome.ok ? await check(partial.path, url, metadata, job) : outcome;
    if (failed === undefined) return { ok: true, value: undefined };
    if (failed.problem !== 'damaged') return withResumeHint(failed, partial.path);
    await partial.discard();
    if (downloads >= MAX_DOWNLOADS) return failed;
    request.onNote?.(`${failed.message}; downloading ${asked.file} again`);
  }
}

async function check(path: string, url: string, { etag }: FileMetadata, { asked, request }: Job) {
  const size = (await fileSize(path)) ?? 0;
  const wrong = await mismatch(path, size, etag, request.signal);
  if (wrong === undefined) return undefined;
  const wanted = asked.url === undefined ? "the hub's is" : 'it should be';
  return damaged(url, `the file's ${wrong.algorithm} is ${wrong.actual}, ${wanted} ${etag}`);
}

async function withResumeHint(failed: Failed, path: string): Promise<Failed> {
  const here = await fileSize(path);
  if (!here || failed.problem === 'denied') return failed;
  const hint = `${failed.hint === undefined ? '' : `${failed.hint}. `}${here} bytes are kept: the next run goes on there`;
  return { ...failed, hint };
}

export function cached(known: { path: string; commit: string; size: number }): Outcome<HubFile> {
  const { path, commit, size } = known;
  return { ok: true, value: { path, commit, size, fromCache: true } };
}
