/** Files and stdin as byte sources. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { CancelledError, messageOf, ShardError } from '../../src/errors.ts';
import type { ByteSource, ReadOptions } from '../../src/io/bytes.ts';
import type { ChunkPool } from '../../src/io/pool.ts';

/** Large enough that system calls cost nothing, small enough for many shards at once. */
const CHUNK = 1024 * 1024;

export interface FileSource extends ByteSource {
  slice(start: number, end: number, options?: ReadOptions): Promise<Uint8Array>;
  /** Hex SHA-256 of the bytes as stored. */
  hash(options?: ReadOptions): Promise<string>;
}

/** A file that need not exist: what is wrong with it is said, as `ShardError`, when it is read. */
export function fileSource(path: string): FileSource {
  return {
    name: path,
    async identity() {
      const found = await stat(path).catch((error) => refuse(path, error));
      // Pipes and devices, such as a shell's <(…), have neither size nor a time that means anything.
      if (!found.isFile()) return { name: basename(path) };
      return { name: basename(path), size: found.size, mtimeMs: Math.round(found.mtimeMs) };
    },
    stream: (options) => chunksOf(path, options?.signal, options?.pool),
    async slice(start, end) {
      const file = await open(path, 'r').catch((error) => refuse(path, error));
      try {
        const bytes = new Uint8Array(end - start);
        let filled = 0;
        while (filled < bytes.length) {
          const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, start + filled);
          if (bytesRead === 0)
            throw new ShardError('truncated', 'the file is shorter than it was', { shard: path });
          filled += bytesRead;
        }
        return bytes;
      } catch (error) {
        return refuse(path, error);
      } finally {
        await file.close();
      }
    },
    async hash(options) {
      const hash = createHash('sha256');
      for await (const chunk of chunksOf(path, options?.signal)) hash.update(chunk);
      return hash.digest('hex');
    },
  };
}

/** A tar on stdin, once. @param name stands for it in messages and outputs. */
export function stdinSource(name: string, stdin: Readable = process.stdin): ByteSource {
  let isUsed = false;
  return {
    name,
    identity: async () => ({ name: basename(name) }),
    async *stream(options) {
      if (isUsed) throw new ShardError('unreadable', 'stdin can be read only once', { shard: name });
      isUsed = true;
      const signal = options?.signal;
      const stop = () => stdin.destroy(new CancelledError('stopped while reading', { shard: name }));
      signal?.addEventListener('abort', stop, { once: true });
      try {
        if (signal?.aborted) stop();
        for await (const chunk of stdin.iterator({ destroyOnReturn: false })) yield chunk as Uint8Array;
      } catch (error) {
        refuse(name, error);
      } finally {
        signal?.removeEventListener('abort', stop);
        // A tar is padded behind its end: who writes it must not get a broken pipe for that.
        stdin.resume();
      }
    },
  };
}

async function* chunksOf(
  path: string,
  signal: AbortSignal | undefined,
  pool?: ChunkPool,
): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r').catch((error) => refuse(path, error));
  let pending: Promise<Uint8Array> | undefined;
  try {
    pending = readChunk(file, pool);
    while (true) {
      const chunk = await pending;
      pending = undefined;
      if (chunk.length === 0) return;
      if (signal?.aborted) throw new CancelledError('stopped while reading', { shard: path });
      // The disk works on the next chunk while this one is looked at.
      pending = readChunk(file, pool);
      pending.catch(() => undefined);
      yield chunk;
    }
  } catch (error) {
    refuse(path, error);
  } finally {
    await pending?.catch(() => undefined);
    await file.close();
  }
}

async function readChunk(file: FileHandle, pool?: ChunkPool): Promise<Uint8Array> {
  const buffer = pool?.take(CHUNK) ?? Buffer.allocUnsafeSlow(CHUNK);
  const { bytesRead } = await file.read(buffer, 0, CHUNK, null);
  return buffer.subarray(0, bytesRead);
}

function refuse(path: string, error: unknown): never {
  if (error instanceof ShardError || error instanceof CancelledError) throw error;
  const code = (error as NodeJS.ErrnoException).code;
  const details = { shard: path, cause: error };
  if (code === 'ENOENT' || code === 'ENOTDIR')
    throw new ShardError('missing', 'there is no such file', details);
  const reason = code === 'EACCES' || code === 'EPERM' ? 'reading it is not permitted' : messageOf(error);
  throw new ShardError('unreadable', `the file cannot be read: ${reason}`, details);
}
