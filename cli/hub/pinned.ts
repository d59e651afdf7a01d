/**
 * A file that is known by its address and its SHA-256 (or SHA-512) and lies in no hub repository. It is cached under its hash in
 * `shardsieve/files` of the user's cache (`XDG_CACHE_HOME`, `~/.cache`), and downloaded as a hub's file is: resumed,
 * checked, by one process while others wait.
 */

import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DownloadError } from '../../src/errors.ts';
import { downloadBlob } from './blob.ts';
import { blobPath, fileSize, type RepoCache } from './cache.ts';
import { onDisk } from './disk.ts';
import type { DownloadOptions } from './download.ts';
import { proxiedFetch } from './fetch.ts';
import type { RequestTools } from './request.ts';
import { downloadError, throwIfCancelled } from './retry.ts';
import { type Env, hubSettings } from './settings.ts';

export type PinnedFile = {
  /** For messages. */
  name: string;
  url: string;
  /** Bytes, where known. */
  size?: number;
  /** Lower-case hex, one of the two. */
} & ({ sha256: string; sha512?: undefined } | { sha512: string; sha256?: undefined });

export type PinnedOptions = DownloadOptions;

/** The file's place in the cache. Throws `DownloadError`, `OutputError`, `CancelledError`. */
export async function downloadPinned(
  file: PinnedFile,
  options: PinnedOptions = {},
): Promise<{ path: string; fromCache: boolean }> {
  throwIfCancelled(options.signal);
  const settings = hubSettings(options.env);
  const cache = filesCache(options.env);
  const hash = file.sha256 ?? file.sha512;
  const path = blobPath(cache, hash);
  // It got its name after its hash was found right.
  if ((await fileSize(path)) !== undefined) return { path, fromCache: true };
  if (settings.offline) {
    throw new DownloadError(`${file.name} is not in the cache and HF_HUB_OFFLINE is set`, {
      url: file.url,
      hint: `Unset HF_HUB_OFFLINE, or download it elsewhere and put it at ${path}`,
    });
  }
  await onDisk(cache.folder, () => mkdir(join(cache.folder, 'blobs'), { recursive: true }));
  const fetch = options.fetch ?? proxiedFetch(options.env);
  const tools: RequestTools = { fetch, settings, signal: options.signal };
  const asked = {
    repo: file.name,
    revision: '',
    file: file.name,
    endpoint: new URL(file.url).origin,
    hasToken: false,
    url: file.url,
  };
  const metadata = { commit: '', etag: hash, size: file.size };
  const isThere = async () => (await fileSize(path)) !== undefined;
  const outcome = await downloadBlob(metadata, { request: options, asked, cache, tools }, isThere);
  if (!outcome.ok) throw downloadError(outcome);
  return { path, fromCache: !outcome.value };
}

function filesCache(env: Env = process.env): RepoCache {
  const base = env.XDG_CACHE_HOME || join(env.HOME || env.USERPROFILE || homedir(), '.cache');
  const cacheDir = join(base, 'shardsieve');
  return { repo: 'files', cacheDir, folder: join(cacheDir, 'files') };
}
