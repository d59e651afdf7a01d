/** Names that become parts of paths and URLs: checked here, once, before either is built. */
import { DownloadError, UsageError } from '../../src/errors.ts';

/** The hub's own limit on `org/name`. */
const MAX_REPO_LENGTH = 96;
/** Git's branch names are bounded by the file name limit of 255 bytes. */
const MAX_REVISION_LENGTH = 255;
/** Longest path inside a repository that is asked for; PATH_MAX leaves room for the cache's own folders. */
const MAX_FILE_LENGTH = 1024;
/** A SHA-256 is 64 characters; S3's multipart tags are a little longer than an MD5. */
const MAX_ETAG_LENGTH = 128;

const REPO = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)?$/;
const REVISION = /^[A-Za-z0-9_][A-Za-z0-9_./@+=-]*$/;
const ETAG = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const COMMIT = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const SHA512 = /^[0-9a-f]{128}$/;

/** Throws `UsageError` unless `repo` is `org/name` (or an old-style `name`) as the hub allows it. */
export function checkRepo(repo: string): void {
  const bad =
    repo.includes('--') || repo.includes('..') || repo.length > MAX_REPO_LENGTH || /[.-]$/.test(repo);
  if (bad || !REPO.test(repo)) {
    throw new UsageError(`${JSON.stringify(repo.slice(0, 200))} is not the name of a hub repository`, {
      hint: 'Write hf-hub:org/name or hf-hub:org/name@revision',
    });
  }
}

/** Throws `UsageError` unless `revision` can be a branch, tag or commit (`refs/pr/1` is one). */
export function checkRevision(revision: string): void {
  const segments = revision.split('/');
  const bad =
    revision.length > MAX_REVISION_LENGTH || segments.some((s) => s === '' || s === '.' || s === '..');
  if (bad || !REVISION.test(revision)) {
    throw new UsageError(`${JSON.stringify(revision.slice(0, 300))} is not a revision`, {
      hint: 'After the @ comes a branch, a tag or a commit',
    });
  }
}

/** Throws `UsageError` unless `file` is a plain path inside a repository, under any system's rules. */
export function checkFile(file: string): void {
  const segments = file.split('/');
  const bad = file.length > MAX_FILE_LENGTH || segments.some((s) => s === '' || s === '.' || s === '..');
  if (bad || /[\\:\p{Cc}]/u.test(file)) {
    throw new UsageError(`${JSON.stringify(file.slice(0, 300))} is not a file name inside a repository`);
  }
}

export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

export function isSha256(etag: string): boolean {
  return SHA256.test(etag);
}

export function isSha512(etag: string): boolean {
  return SHA512.test(etag);
}

/** A file's git object name: `sha1("blob <size>\0" + bytes)`. */
export function isGitBlobId(etag: string): boolean {
  return COMMIT.test(etag);
}

/**
 * The bare tag of an `ETag` or `X-Linked-Etag` header (RFC 9110, 8.8.3), which names the blob on disk.
 * Throws `DownloadError` where it could not be a file name.
 */
export function parseEtag(header: string, url: string): { etag: string; strong: boolean } {
  const match = /^\s*(W\/)?"?([^"]*)"?\s*$/.exec(header);
  const etag = match?.[2] ?? '';
  if (etag.length > MAX_ETAG_LENGTH || !ETAG.test(etag)) {
    throw new DownloadError(`the answer's ETag ${JSON.stringify(header.slice(0, 200))} cannot name a file`, {
      url,
      hint: 'The hub answers with a SHA-256 or a git object name; check HF_ENDPOINT and proxies',
    });
  }
  return { etag, strong: match?.[1] === undefined };
}
