/**
 * A directory as a `Folder`. A file appears whole or not at all: it is written under a temporary name, flushed to the
 * disk, renamed, and the directory flushed. Temporary names are `.<name, dots as _>.<host>-<pid>-<random>.tmp`, so
 * that no file's path contains `.parquet` or `.tar` before its time, and so that a later run can tell which of them
 * a killed one left.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { MetadataError, messageOf, OutputError } from '../../src/errors.ts';
import type { Folder, Sink } from '../../src/io/bytes.ts';

const TEMPORARY = /^\..+\.([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.tmp$/;

/** A temporary file of another machine on a shared disk is held for dead when nobody has written to it for a day. */
const STALE_MS = 24 * 3600 * 1000;

const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** Small writes are collected to this. */
const BUFFER = 256 * 1024;

/** The disk is set to work on what was written after so many bytes, so that the flush at the end has little left. */
const FLUSH_AHEAD = 32 * 1024 * 1024;

export interface FolderOptions {
  /** Nothing is created, swept or removed; `create` and `remove` throw. */
  readOnly?: boolean;
}

/** Where the folders that were opened here lie. */
const PATHS = new WeakMap<Folder, string>();

/** A file's path, for what reads files itself; `undefined` where the folder is no directory. */
export function pathIn(folder: Folder, name: string): string | undefined {
  const path = PATHS.get(folder);
  return path === undefined ? undefined : join(path, name);
}

/** The directory need not exist: the first file makes it. Opening removes what killed runs left. */
export function openFolder(path: string, options: FolderOptions = {}): Folder {
  const isReadOnly = options.readOnly === true;
  if (!isReadOnly) sweep(path);
  const at = (name: string): string => join(path, checked(name, path));
  const writable = (name: string): string => {
    if (isReadOnly) throw new OutputError('this folder is only read', { file: join(path, name) });
    return at(name);
  };
  const folder: Folder = {
    label: path,
    async list() {
      const entries = await readdir(path, { withFileTypes: true }).catch((error) => nothing(error, path, []));
      const files = entries.filter((entry) => !entry.isDirectory() && !TEMPORARY.test(entry.name));
      return files.map((entry) => entry.name).sort();
    },
    async has(name) {
      const found = await stat(at(name)).catch((error) => nothing(error, at(name), undefined));
      return found?.isFile() ?? false;
    },
    read: async (name) =>
      asBytes(await readFile(at(name)).catch((error) => nothing(error, at(name), undefined))),
    open: (name) => ranged(at(name)),
    async create(name) {
      const file = writable(name);
      await mkdir(path, { recursive: true }).catch((error) =>
        refuse('the folder cannot be made', error, path),
      );
      const temporary = temporaryName(name);
      const handle = await open(join(path, temporary), 'wx').catch((error) =>
        refuse('the file cannot be created', error, file),
      );
      return new FileSink(path, name, temporary, handle);
    },
    async remove(name) {
      const file = writable(name);
      await rm(file, { force: true }).catch((error) => refuse('the file cannot be removed', error, file));
    },
  };
  PATHS.set(folder, path);
  return folder;
}

class FileSink implements Sink {
  readonly name: string;
  readonly #folder: string;
  readonly #temporary: string;
  #handle: FileHandle | undefined;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER);
  #used = 0;
  #unflushed = 0;
  #flushing: Promise<unknown> | undefined;

  constructor(folder: string, name: string, temporary: string, handle: FileHandle) {
    this.name = name;
    this.#folder = folder;
    this.#temporary = join(folder, temporary);
    this.#handle = handle;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const handle = this.#open();
    try {
      if (this.#used + bytes.length > BUFFER) await this.#flush(handle);
      if (bytes.length > BUFFER) await writeAll(handle, bytes);
      else {
        this.#buffer.set(bytes, this.#used);
        this.#used += bytes.length;
      }
      this.#flushAhead(handle, bytes.length);
    } catch (error) {
      await this.#fail(error);
    }
  }

  async commit(): Promise<void> {
    const handle = this.#open();
    try {
      await this.#flush(handle);
      await handle.sync();
      await handle.close();
      this.#handle = undefined;
      await rename(this.#temporary, join(this.#folder, this.name));
    } catch (error) {
      await this.#fail(error);
    }
    await syncFolder(this.#folder);
  }

  async abort(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
    await rm(this.#temporary, { force: true }).catch(() => undefined);
  }

  #open(): FileHandle {
    if (this.#handle !== undefined) return this.#handle;
    throw new OutputError('the file was already closed', { file: join(this.#folder, this.name) });
  }

  #flushAhead(handle: FileHandle, written: number): void {
    this.#unflushed += written;
    if (this.#unflushed < FLUSH_AHEAD || this.#flushing !== undefined) return;
    this.#unflushed = 0;
    const done = () => {
      this.#flushing = undefined;
    };
    // What fails here fails again, and is told, when the file is committed or written to.
    this.#flushing = handle.datasync().then(done, done);
  }

  async #flush(handle: FileHandle): Promise<void> {
    const used = this.#used;
    this.#used = 0;
    if (used > 0) await writeAll(handle, this.#buffer.subarray(0, used));
  }

  async #fail(error: unknown): Promise<never> {
    await this.abort();
    return refuse('the file cannot be written', error, join(this.#folder, this.name));
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
}

/** Makes the rename itself last. Some systems (Windows) cannot open a directory; they keep order by themselves. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close().catch(() => undefined);
}

async function ranged(file: string): ReturnType<Folder['open']> {
  const found = await stat(file).catch((error) => nothing(error, file, undefined));
  if (found === undefined) throw new MetadataError('there is no such file', { file });
  return {
    size: found.size,
    async slice(start, end) {
      const handle = await open(file, 'r').catch((error) => unreadable(error, file));
      try {
        const bytes = new Uint8Array(Math.max(0, end - start));
        for (let at = 0; at < bytes.length; ) {
          const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at);
          if (bytesRead === 0) throw new MetadataError('the file is shorter than it was', { file });
          at += bytesRead;
        }
        return bytes;
      } catch (error) {
        return unreadable(error, file);
      } finally {
        await handle.close();
      }
    },
  };
}

export function temporaryName(name: string): string {
  // File systems end names at 255 bytes; the rest of ours takes some 40.
  const stem = name.replaceAll('.', '_').slice(0, 60);
  return `.${stem}.${HOST}-${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
}

/** Files of a directory that a run is writing, or left when it was killed. */
export async function temporaryFiles(path: string): Promise<string[]> {
  const names = await readdir(path).catch((error) => nothing<string[]>(error, path, []));
  return names.filter((name) => TEMPORARY.test(name)).sort();
}

/** Removes the temporary files whose writer is gone. What cannot be removed is left: it harms nobody. */
function sweep(path: string): void {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch {
    return;
  }
  for (const name of names) {
    const match = TEMPORARY.exec(name);
    try {
      if (match !== null && isStale(join(path, name), match[1], Number(match[2]))) rmSync(join(path, name));
    } catch {
      // Another run may have removed it first.
    }
  }
}

function isStale(file: string, host: string, pid: number): boolean {
  const { mtimeMs } = statSync(file);
  if (host !== HOST) return Date.now() - mtimeMs > STALE_MS;
  // In containers every run has the same number: then an older file is another run's.
  if (pid === process.pid) return mtimeMs < Date.now() - process.uptime() * 1000 - 2000;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function checked(name: string, folder: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name) || TEMPORARY.test(name)) {
    throw new OutputError(`${JSON.stringify(name)} is no name for a file here`, { file: folder });
  }
  return name;
}

function asBytes(buffer: Buffer | undefined): Uint8Array | undefined {
  return buffer === undefined
    ? undefined
    : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** `otherwise` where the file is not there; anything else is an error. */
function nothing<T>(error: unknown, file: string, otherwise: T): T {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return otherwise;
  return unreadable(error, file);
}

function unreadable(error: unknown, file: string): never {
  if (error instanceof MetadataError) throw error;
  throw new MetadataError(`the file cannot be read: ${messageOf(error)}`, { file, cause: error });
}

const HINTS: { [code: string]: string } = {
  ENOSPC: 'The disk is full: free some space and run again, finished shards are kept',
  EDQUOT: 'Your quota on this disk is used up: free some space and run again, finished shards are kept',
  EACCES: 'You may not write there: choose another --out or change its permissions',
  EPERM: 'You may not write there: choose another --out or change its permissions',
  EROFS: 'That disk is read-only: choose another --out',
  ENOTDIR: 'A file lies where a folder should be: choose another --out',
  EEXIST: 'A file lies where a folder should be: choose another --out',
  EMFILE: 'Too many files are open: run fewer shards at once',
};

function refuse(what: string, error: unknown, file: string): never {
  if (error instanceof OutputError) throw error;
  const hint = HINTS[(error as NodeJS.ErrnoException).code ?? ''];
  throw new OutputError(`${what}: ${messageOf(error)}`, { file, cause: error, hint });
}
