/** Model files on disk: read by range, and hashed. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { CancelledError, ModelError, messageOf } from '../../src/errors.ts';
import type { RangedBytes } from '../../src/onnx/safetensors.ts';

export interface ModelFile extends RangedBytes {
  /** Where the bytes really lie, symlinks followed. */
  readonly path: string;
}

/** Opens a model file for ranged reads. Throws `ModelError` where it is missing, unreadable or no file. */
export async function modelFile(name: string): Promise<ModelFile> {
  try {
    const path = await realpath(name);
    const info = await stat(path);
    if (!info.isFile()) throw new Error('not a regular file');
    return { name, path, size: info.size, slice: (start, end) => readRange(name, path, start, end) };
  } catch (cause) {
    throw unreadable(name, cause);
  }
}

async function readRange(name: string, path: string, start: number, end: number): Promise<Uint8Array> {
  try {
    const handle = await open(path);
    try {
      const bytes = new Uint8Array(end - start);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
        if (bytesRead === 0) throw new Error(`it ends at byte ${start + filled}`);
        filled += bytesRead;
      }
      return bytes;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw unreadable(name, cause);
  }
}

/** Hex SHA-256 of a file's bytes, read as a stream: what identifies a model in `run.json`. Throws `ModelError`, `CancelledError`. */
export function sha256File(name: string, signal?: AbortSignal): Promise<string> {
  return hashFile(name, 'sha256', signal);
}

/** The same with SHA-512, as NuGet has it. */
export function sha512File(name: string, signal?: AbortSignal): Promise<string> {
  return hashFile(name, 'sha512', signal);
}

async function hashFile(name: string, algorithm: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash(algorithm);
  try {
    await pipeline(createReadStream(name, { highWaterMark: 2 ** 20 }), hash, { signal });
  } catch (cause) {
    if (signal?.aborted) throw new CancelledError('stopped while hashing the model', { file: name, cause });
    throw unreadable(name, cause);
  }
  return hash.digest('hex');
}

function unreadable(file: string, cause: unknown): ModelError {
  return new ModelError(`the model file cannot be read: ${messageOf(cause)}`, {
    file,
    cause,
    hint: 'Check the path and its permissions, or pull the model again',
  });
}
