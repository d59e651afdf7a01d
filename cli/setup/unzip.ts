/** Some members of a zip on disk, as a stream: a package of hundreds of megabytes is never in memory. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Unzip, UnzipInflate } from 'fflate';
import { CancelledError, DownloadError, isShardsieveError, messageOf } from '../../src/errors.ts';
import { onDisk } from '../hub/disk.ts';

export interface Extracted {
  path: string;
  /** Bytes. */
  size: number;
  sha256: string;
}

/**
 * Writes each member that `targets` names to its file; a member is a path in the zip. Throws `DownloadError` where one
 * is not there or the zip is broken, `OutputError`, `CancelledError`; what was written stays for the caller to remove.
 */
export async function extract(
  zip: string,
  targets: ReadonlyMap<string, string>,
  signal?: AbortSignal,
): Promise<Map<string, Extracted>> {
  const done = new Map<string, Extracted>();
  const unzip = new Unzip();
  unzip.register(UnzipInflate);
  // A push of one chunk calls back with what comes out of it; it is written before the next is read.
  const pending: { member: string; bytes: Uint8Array; isLast: boolean }[] = [];
  let failure: unknown;
  unzip.onfile = (member) => {
    if (!targets.has(member.name)) return;
    member.ondata = (error, bytes, isLast) => {
      if (error !== null) failure ??= error;
      else pending.push({ member: member.name, bytes, isLast });
    };
    member.start();
  };
  const writing = new Map<string, { file: FileHandle; hash: ReturnType<typeof createHash>; size: number }>();
  const flush = async (): Promise<void> => {
    if (failure !== undefined) throw failure;
    for (const { member, bytes, isLast } of pending.splice(0)) {
      const path = targets.get(member) as string;
      let out = writing.get(member);
      if (out === undefined) {
        out = { file: await onDisk(path, () => open(path, 'w', 0o755)), hash: createHash('sha256'), size: 0 };
        writing.set(member, out);
      }
      const { file } = out;
      await onDisk(path, () => file.writeFile(bytes));
      out.hash.update(bytes);
      out.size += bytes.length;
      if (!isLast) continue;
      await onDisk(path, () => file.sync());
      await file.close();
      writing.delete(member);
      done.set(member, { path, size: out.size, sha256: out.hash.digest('hex') });
    }
  };
  try {
    for await (const chunk of createReadStream(zip, { highWaterMark: 1 << 20 })) {
      if (signal?.aborted) throw new CancelledError();
      unzip.push(chunk);
      await flush();
    }
    unzip.push(new Uint8Array(0), true);
    await flush();
  } catch (cause) {
    if (isShardsieveError(cause)) throw cause;
    throw new DownloadError(`the package cannot be unpacked: ${messageOf(cause)}`, { file: zip, cause });
  } finally {
    for (const { file } of writing.values()) await file.close();
  }
  const absent = [...targets.keys()].filter((member) => !done.has(member));
  if (absent.length === 0) return done;
  throw new DownloadError(`the package holds no whole ${absent.join(', ')}`, {
    file: zip,
    hint: 'It is another package or version than the one that belongs to this onnxruntime-node',
  });
}
