/** Bytes in memory behind the same interfaces as files: for tests, for workers, for small uploads. */
import { MetadataError, OutputError } from '../errors.ts';
import type { ByteSource, Folder, Sink } from './bytes.ts';

/** @param chunkSize bytes a chunk of the stream, to try how a reader takes splits; default the whole at once. */
export function memorySource(
  name: string,
  bytes: Uint8Array,
  chunkSize = Math.max(1, bytes.length),
): ByteSource {
  return {
    name,
    identity: async () => ({ name, size: bytes.length }),
    async *stream() {
      for (let at = 0; at < bytes.length; at += chunkSize) yield bytes.subarray(at, at + chunkSize);
    },
    slice: async (start, end) => bytes.slice(start, end),
  };
}

/** A folder in memory; `files` holds what was committed. */
export function memoryFolder(
  label = 'memory',
  files = new Map<string, Uint8Array>(),
): Folder & {
  readonly files: Map<string, Uint8Array>;
} {
  return {
    label,
    files,
    list: async () => [...files.keys()].sort(),
    has: async (name) => files.has(name),
    read: async (name) => files.get(name)?.slice(),
    async open(name) {
      const bytes = files.get(name);
      if (bytes === undefined) throw new MetadataError('there is no such file', { file: `${label}/${name}` });
      return { size: bytes.length, slice: async (start, end) => bytes.slice(start, end) };
    },
    create: async (name) => memorySink(name, (bytes) => files.set(name, bytes)),
    async remove(name) {
      files.delete(name);
    },
  };
}

/** Collects what is written and hands it over on commit. */
export function memorySink(name: string, done: (bytes: Uint8Array) => void): Sink {
  let pieces: Uint8Array[] | undefined = [];
  return {
    name,
    async write(bytes) {
      if (pieces === undefined) throw new OutputError('written to after its end', { file: name });
      pieces.push(bytes.slice());
    },
    async commit() {
      if (pieces === undefined) throw new OutputError('committed after its end', { file: name });
      const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.length;
      }
      pieces = undefined;
      done(whole);
    },
    async abort() {
      pieces = undefined;
    },
  };
}
