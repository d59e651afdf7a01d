/** What a failed write says. */
import { statfs } from 'node:fs/promises';
import { messageOf, OutputError } from '../../src/errors.ts';

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A file system's refusal in words; `file` is what was being written. */
export function outputError(error: unknown, file: string): OutputError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (FULL.has(code)) {
    return new OutputError('there is no room left for the download', {
      file,
      hint: 'Free some space and run again, or set HF_HUB_CACHE to another disk; what came so far is kept',
      cause: error,
    });
  }
  return new OutputError(`the hub's cache cannot be written: ${messageOf(error)}`, {
    file,
    hint: 'Set HF_HUB_CACHE or HF_HOME to a folder that can be written',
    cause: error,
  });
}

/** Runs file work and turns what the system throws into an `OutputError`. */
export async function onDisk<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw outputError(error, file);
  }
}

/** Throws `OutputError` where the disk that holds `folder` says that `bytes` more cannot fit. */
export async function checkRoom(folder: string, bytes: number): Promise<void> {
  const space = await statfs(folder).catch(() => undefined);
  // Some network file systems report no blocks at all.
  if (space === undefined || space.blocks === 0) return;
  const free = space.bavail * space.bsize;
  if (free >= bytes) return;
  throw new OutputError(`${bytes} bytes are still to come and ${free} are free`, {
    file: folder,
    hint: 'Free some space, or set HF_HUB_CACHE to another disk',
  });
}
