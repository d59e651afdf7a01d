/** What the hub says of a file before it is downloaded. */
import { DownloadError } from '../../src/errors.ts';
import { type Asked, refusal } from './answers.ts';
import { isCommit, parseEtag } from './names.ts';
import { type HubResponse, type RequestTools, send, strange } from './request.ts';
import type { Outcome } from './retry.ts';

export interface FileMetadata {
  commit: string;
  etag: string;
  /** Bytes, where the server says them. */
  size: number | undefined;
}

/** No CLIP checkpoint is near it, and a server's word alone shall not fill a disk. Python's own limit for HTTP. */
export const MAX_FILE_BYTES = 50_000_000_000;

/** The address of a file at a revision. A branch may hold slashes, which belong to it and not to the path. */
export function fileUrl(endpoint: string, repo: string, revision: string, file: string): string {
  const path = file.split('/').map(encodeURIComponent).join('/');
  return `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${path}`;
}

/** Where the bytes of a file at a commit are. */
export function addressOf({ url, endpoint, repo, file }: Asked, commit: string): string {
  return url ?? fileUrl(endpoint, repo, commit, file);
}

/**
 * Asks by HEAD for the commit, the tag and the size. For a large file the hub answers with a redirect to its
 * store, and that redirect holds all three (`X-Repo-Commit`, `X-Linked-Etag`, `X-Linked-Size`).
 * `onMissing` hears the commit at which the hub says there is no such file.
 */
export async function askMetadata(
  asked: Asked,
  tools: RequestTools,
  onMissing: (commit: string) => Promise<void>,
): Promise<Outcome<FileMetadata>> {
  const url = fileUrl(asked.endpoint, asked.repo, asked.revision, asked.file);
  const timeoutMs = tools.settings.metadataTimeoutMs;
  const answered = await send('HEAD', url, {}, timeoutMs, tools, isWholeAnswer);
  if (!answered.ok) return answered;
  const { response } = answered.value;
  const isRedirect = response.status >= 300 && response.status < 400;
  const commit = response.headers.get('x-repo-commit') ?? '';
  if (response.status !== 200 && !(isRedirect && isWholeAnswer(response))) {
    const failed = refusal(response, url, asked);
    const said = response.headers.get('x-error-code') === 'EntryNotFound' && isCommit(commit);
    if (said) await onMissing(commit);
    return failed;
  }
  if (!isCommit(commit)) return strange(url, 'the answer has no X-Repo-Commit');
  const tag = response.headers.get('x-linked-etag') ?? response.headers.get('etag');
  if (tag === null) return strange(url, 'the answer has no ETag');
  try {
    const { etag } = parseEtag(tag, url);
    const size = readSize(response, isRedirect);
    if (size !== undefined && size > MAX_FILE_BYTES) {
      return strange(url, `the file is said to have ${size} bytes, more than ${MAX_FILE_BYTES}`);
    }
    return { ok: true, value: { commit, etag, size } };
  } catch (error) {
    if (error instanceof DownloadError) return { ...strange(url, error.message), cause: error };
    throw error;
  }
}

function isWholeAnswer(response: HubResponse): boolean {
  const { headers } = response;
  const tagged = headers.get('x-linked-etag') !== null || headers.get('etag') !== null;
  return headers.get('x-repo-commit') !== null && tagged;
}

function readSize(response: HubResponse, isRedirect: boolean): number | undefined {
  const { headers } = response;
  // A redirect's own length is that of its few words; a compressed answer's is not the file's.
  const own = isRedirect || isEncoded(response) ? null : headers.get('content-length');
  const text = headers.get('x-linked-size') ?? own;
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function isEncoded(response: HubResponse): boolean {
  const encoding = response.headers.get('content-encoding') ?? '';
  return encoding !== '' && encoding.toLowerCase() !== 'identity';
}
