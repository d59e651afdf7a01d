/** Whether a file is what its ETag says. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { CancelledError } from '../../src/errors.ts';
import { outputError } from './disk.ts';
import { isGitBlobId, isSha256, isSha512 } from './names.ts';

const READ_BYTES = 1 << 20;

/** Whether the tag is a hash of the content, so that bytes from any source can be checked against it. */
export function isContentHash(etag: string): boolean {
  return isSha256(etag) || isSha512(etag) || isGitBlobId(etag);
}

/**
 * The file's hash where it is not what `etag` names, `undefined` where it is or where the tag is no hash.
 *
 * Large files (LFS, Xet) have their SHA-256 for a tag; the others their git object name, which is
 * `sha1("blob <size>\0" + bytes)`. Mirrors of the Artifactory kind give the plain SHA-1 instead.
 */
export async function mismatch(
  path: string,
  size: number,
  etag: string,
  signal?: AbortSignal,
): Promise<{ algorithm: string; actual: string } | undefined> {
  if (isSha256(etag) || isSha512(etag)) {
    const bits = isSha256(etag) ? 256 : 512;
    const hash = createHash(`sha${bits}`);
    await feed(path, [hash], signal);
    const actual = hash.digest('hex');
    return actual === etag ? undefined : { algorithm: `SHA-${bits}`, actual };
  }
  if (isGitBlobId(etag)) {
    const blob = createHash('sha1').update(`blob ${size}\0`);
    const plain = createHash('sha1');
    await feed(path, [blob, plain], signal);
    const actual = blob.digest('hex');
    return actual === etag || plain.digest('hex') === etag ? undefined : { algorithm: 'git SHA-1', actual };
  }
  return undefined;
}

async function feed(path: string, hashes: { update(bytes: Uint8Array): unknown }[], signal?: AbortSignal) {
  const stream = createReadStream(path, { highWaterMark: READ_BYTES });
  try {
    for await (const chunk of stream) {
      if (signal?.aborted === true) throw new CancelledError();
      for (const hash of hashes) hash.update(chunk);
    }
  } catch (error) {
    throw error instanceof CancelledError ? error : outputError(error, path);
  }
}
