/**
 * Where bytes come from and go to. A platform (Node's files, R2, HTTP) fills these interfaces; the rooms
 * above know nothing else of it.
 */

import type { ChunkPool } from './pool.ts';

/** What tells one version of an input from another without reading it. */
export interface SourceIdentity {
  name: string;
  /** Bytes; absent for a stream. */
  size?: number;
  /** Milliseconds since the epoch, of a local file. */
  mtimeMs?: number;
  etag?: string;
  /** Hex SHA-256 of the bytes as stored, where somebody asked for it. */
  sha256?: string;
}

export interface ReadOptions {
  signal?: AbortSignal;
  /** Where a source may take the memory of its chunks from; who reads gives it back. */
  pool?: ChunkPool;
}

/** A named run of bytes that can be read as a stream, and by range where the platform can. */
export interface ByteSource {
  /** For messages: a path, an URL, `-`. */
  readonly name: string;
  identity(): Promise<SourceIdentity>;
  /** The bytes as stored, in order. Throws `ShardError` with problem `missing` or `unreadable`. */
  stream(options?: ReadOptions): AsyncIterable<Uint8Array>;
  /** Bytes `[start, end)`; `end` may not lie past the end of the source. */
  slice?(start: number, end: number, options?: ReadOptions): Promise<Uint8Array>;
}

/** One output file: nothing of it is visible before `commit`, nothing is left after `abort`. */
export interface Sink {
  readonly name: string;
  /** Resolves when more may be written (back-pressure). Throws `OutputError`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Flushes and makes the file appear under its own name, replacing what was there. */
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** A flat folder of files: a directory on disk, a prefix in an object store, a map in a test. */
export interface Folder {
  /** For messages. */
  readonly label: string;
  /** Names of the committed files, sorted by code unit; `[]` where the folder does not exist yet. */
  list(): Promise<string[]>;
  has(name: string): Promise<boolean>;
  /** The whole file, or `undefined` where there is none. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Size in bytes and ranged reads of a file, for formats with a footer. Throws `MetadataError` where missing. */
  open(name: string): Promise<{ size: number; slice(start: number, end: number): Promise<Uint8Array> }>;
  /** Starts a file under a temporary name that contains neither `.parquet` nor `.tar`. */
  create(name: string): Promise<Sink>;
  remove(name: string): Promise<void>;
}
