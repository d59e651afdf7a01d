/**
 * One process downloads a file, the others wait for it. Node has no flock, so the lock is a file made with
 * `O_EXCL` whose modification time its holder renews; one that is no longer renewed belongs to nobody.
 *
 * The lock saves bandwidth and nothing hangs on it: every holder writes to a file of its own and what is
 * renamed into place has been verified, so two holders by accident cost a second download.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { onDisk } from './disk.ts';

export interface LockTimes {
  renewMs: number;
  /** A lock not renewed for so long belongs to nobody. */
  staleMs: number;
  /** The same where its process is known to be gone: not at once, for containers may share a host name. */
  orphanMs: number;
  pollMs: number;
}

const TIMES: LockTimes = { renewMs: 2000, staleMs: 30_000, orphanMs: 6000, pollMs: 250 };

export interface Lock {
  /** Eight hex digits, of this holder alone. */
  id: string;
  release(): Promise<void>;
}

export interface LockOptions {
  /** Asked while waiting: true ends the waiting without the lock. */
  isDone: () => Promise<boolean>;
  /** Told once, when there is something to wait for. */
  onWait?: () => void;
  /** Waits, and throws when the work is cancelled. */
  pause: (ms: number) => Promise<void>;
  times?: Partial<LockTimes>;
}

/** Takes the lock, or returns `undefined` once `isDone`. Throws `OutputError`, and what `pause` throws. */
export async function acquireLock(path: string, options: LockOptions): Promise<Lock | undefined> {
  const times = { ...TIMES, ...options.times };
  const id = randomBytes(4).toString('hex');
  await onDisk(path, () => mkdir(dirname(path), { recursive: true }));
  for (let waits = 0; ; waits++) {
    if (await onDisk(path, () => create(path, id))) {
      return { id, release: keepAlive(path, id, times.renewMs) };
    }
    if (await options.isDone()) return undefined;
    if (await isAbandoned(path, times)) {
      await onDisk(path, () => rm(path, { force: true }));
      continue;
    }
    if (waits === 0) options.onWait?.();
    await options.pause(times.pollMs);
  }
}

async function create(path: string, id: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(contents(id)).finally(() => file.close());
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

function contents(id: string): string {
  return JSON.stringify({ id, pid: process.pid, host: hostname() });
}

/** Renews the lock until released. It never keeps the process alive. */
function keepAlive(path: string, id: string, renewMs: number): () => Promise<void> {
  const timer = setInterval(() => {
    renew(path, id).catch(() => undefined);
  }, renewMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    const owner = await readOwner(path);
    if (owner?.id === id) await rm(path, { force: true }).catch(() => undefined);
  };
}

/** Writes the same bytes again: the disk then dates the file by its own clock, which `utimes` would not. */
async function renew(path: string, id: string): Promise<void> {
  if ((await readOwner(path))?.id === id) await writeFile(path, contents(id), { flag: 'r+' });
}

async function isAbandoned(path: string, times: LockTimes): Promise<boolean> {
  const renewed = await stat(path).catch(() => undefined);
  if (renewed === undefined) return false;
  const age = (await diskNow(path)) - renewed.mtimeMs;
  if (age > times.staleMs) return true;
  const owner = await readOwner(path);
  return age > times.orphanMs && owner?.host === hostname() && !isAlive(owner.pid);
}

/** The time by the disk's own clock, which on a network disk is not this machine's. */
async function diskNow(path: string): Promise<number> {
  const probe = `${path}.${randomBytes(4).toString('hex')}.now`;
  try {
    await writeFile(probe, '');
    return (await stat(probe)).mtimeMs;
  } catch {
    return Date.now();
  } finally {
    await rm(probe, { force: true }).catch(() => undefined);
  }
}

async function readOwner(path: string): Promise<{ id: string; pid: number; host: string } | undefined> {
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    if (!('id' in parsed) || !('pid' in parsed) || !('host' in parsed)) return undefined;
    return { id: String(parsed.id), pid: Number(parsed.pid), host: String(parsed.host) };
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: somebody else's process, and alive.
    return hasCode(error, 'EPERM');
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
