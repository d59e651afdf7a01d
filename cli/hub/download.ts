/** A file of the hub, from the cache or from the network into the cache. */
import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { DownloadError } from '../../src/errors.ts';
import type { Asked } from './answers.ts';
import { type BlobOptions, cached, type HubFile, obtain } from './blob.ts';
import { type Lookup, lookUp, type RepoCache, repoCache, writeNoExist } from './cache.ts';
import { proxiedFetch } from './fetch.ts';
import { askMetadata, type FileMetadata, fileUrl } from './metadata.ts';
import { isCommit, isSha256 } from './names.ts';
import type { HubFetch, RequestTools } from './request.ts';
import {
  downloadError,
  type Failed,
  MAX_RETRIES,
  type Outcome,
  type Problem,
  retrying,
  throwIfCancelled,
} from './retry.ts';
import { type Env, hubSettings } from './settings.ts';

export type { DownloadProgress, HubFile } from './blob.ts';

export interface DownloadOptions extends BlobOptions {
  /** Where the hub's settings are read; `process.env` by default. */
  env?: Env;
  /** By default undici's, through the proxies of `env`. */
  fetch?: HubFetch;
}

export interface FileRequest extends DownloadOptions {
  /** `org/name` */
  repo: string;
  /** Branch, tag or commit; `main` by default. */
  revision?: string;
  /** Path inside the repository. */
  file: string;
}

/**
 * Returns a file's place in the cache, downloading what is missing of it.
 *
 * With a full commit and the file in the cache, no request is made. Otherwise the hub is asked what the revision
 * stands for; where it cannot be asked, a cached copy is used and `onNote` says so. A download resumes what an
 * earlier one left, is checked against the hub's size and hash, and appears by a rename.
 *
 * Throws `DownloadError`, `OutputError` (disk full or read-only), `CancelledError` (what came is kept) and
 * `UsageError` (a name or variable that cannot be).
 */
export async function downloadFile(request: FileRequest): Promise<HubFile> {
  const outcome = await fetchFile(request);
  if (!outcome.ok) throw downloadError(outcome);
  return outcome.value;
}

/** The same, with the hub's refusals as values, for callers that look for one file or another. */
export async function fetchFile(request: FileRequest): Promise<Outcome<HubFile>> {
  const work = await begin(request);
  const { known, asked } = work;
  if (known.found === 'file' && work.settled) return cached(known);
  const metadata = await ask(work, request);
  if (metadata.ok) return obtain(metadata.value, { ...work, request });
  if (known.found !== 'file' || !isExcused(metadata.problem)) return metadata;
  request.onNote?.(
    `${asked.repo} could not be asked for ${asked.revision} (${metadata.message}): using the cached copy of ` +
      `${asked.file} at commit ${known.commit}`,
  );
  return cached(known);
}

/** Whether the repository has the file, as far as can be told; nothing is downloaded. */
export async function fileExists(request: FileRequest): Promise<boolean> {
  const work = await begin(request);
  if (work.known.found !== 'nothing' && work.settled) return work.known.found === 'file';
  if (work.tools.settings.offline) return false;
  return (await ask(work, request)).ok;
}

interface Work {
  asked: Asked;
  cache: RepoCache;
  tools: RequestTools;
  known: Lookup;
  /** What the cache knows is final: a commit never changes, and offline nobody can be asked. */
  settled: boolean;
}

async function begin(request: FileRequest): Promise<Work> {
  throwIfCancelled(request.signal);
  const { repo, file, revision = 'main' } = request;
  const settings = hubSettings(request.env);
  const { endpoint, token, offline } = settings;
  const cache = repoCache(settings.cacheDir, repo);
  const known = await lookUp(cache, revision, file);
  const asked: Asked = { repo, revision, file, endpoint, hasToken: token !== undefined };
  const fetch = request.fetch ?? proxiedFetch(request.env);
  const tools: RequestTools = { fetch, settings, signal: request.signal };
  return { asked, cache, tools, known, settled: isCommit(revision) || offline };
}

async function ask(work: Work, request: FileRequest): Promise<Outcome<FileMetadata>> {
  const { asked, cache, known, tools } = work;
  if (known.found === 'no_exist' && work.settled) return noFile(asked);
  if (tools.settings.offline) throw offlineError(asked);
  // With a copy at hand, a dead line is not worth half a minute of tries.
  const retries = known.found === 'file' ? 1 : MAX_RETRIES;
  const onMissing = (commit: string) => writeNoExist(cache, commit, asked.file);
  return retrying(() => askMetadata(asked, tools, onMissing), request, retries);
}

/** Whether a cached copy may stand in: not where the hub knows better than the cache. */
function isExcused(problem: Problem): boolean {
  return problem !== 'no_file' && problem !== 'no_revision';
}

function noFile(asked: Asked): Failed {
  const url = fileUrl(asked.endpoint, asked.repo, asked.revision, asked.file);
  const message = `${asked.repo} has no file ${asked.file} at revision ${asked.revision}, as the hub said earlier`;
  return { ok: false, problem: 'no_file', message, url, retry: false };
}

function offlineError(asked: Asked): DownloadError {
  const { repo, revision, file } = asked;
  return new DownloadError(
    `${file} of ${repo} at ${revision} is not in the cache and HF_HUB_OFFLINE is set`,
    {
      hint:
        `Unset HF_HUB_OFFLINE, or run \`shardsieve models pull hf-hub:${repo}${revision === 'main' ? '' : `@${revision}`}\` ` +
        'where there is a connection and copy the cache (HF_HUB_CACHE) here',
    },
  );
}

/**
 * The SHA-256 by which the hub knows a large file, without downloading it: from the cache where offline, else asked.
 * `undefined` where it cannot be had.
 */
export async function fileSha256(request: FileRequest): Promise<string | undefined> {
  const work = await begin(request);
  if (work.known.found === 'file' && work.settled) return blobName(work.known.path);
  if (work.tools.settings.offline) return undefined;
  const metadata = await ask(work, request);
  if (metadata.ok) return isSha256(metadata.value.etag) ? metadata.value.etag : undefined;
  return work.known.found === 'file' ? blobName(work.known.path) : undefined;
}

/** A cached file is a link to a blob that is called by its tag. */
async function blobName(path: string): Promise<string | undefined> {
  const name = basename(await realpath(path));
  return isSha256(name) ? name : undefined;
}
