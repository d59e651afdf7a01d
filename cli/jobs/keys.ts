/** Files of API keys: what `serve --keys` reads, and what a Worker's secret holds. */
import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { type KeyRecord, newKey, parseKeys, type Scope } from '../../functions/app/keys.ts';
import { messageOf, OutputError, UsageError } from '../../src/errors.ts';

/** The records of a file. Throws `UsageError` where it is not there or is none. */
export async function readKeys(file: string): Promise<KeyRecord[]> {
  const records = await readIfThere(file);
  if (records !== undefined) return records;
  throw new UsageError('there is no such file of keys', {
    file,
    hint: 'Make one by: shardsieve keys new NAME',
  });
}

/** Adds a key under a name that is new, and returns it: it is kept nowhere. Throws `UsageError`, `OutputError`. */
export async function addKey(file: string, name: string, scopes?: readonly Scope[]): Promise<string> {
  const records = (await readIfThere(file)) ?? [];
  if (records.some((record) => record.name === name)) {
    throw new UsageError(`there is a key called ${name} already`, {
      file,
      hint: 'Names are not used again, so that the log says which key it was',
    });
  }
  const { key, record } = newKey(name, new Date().toISOString(), scopes);
  await writeKeys(file, [...records, record]);
  return key;
}

/** Throws `UsageError`, `OutputError`. */
export async function revokeKey(file: string, name: string): Promise<void> {
  const records = await readKeys(file);
  if (!records.some((record) => record.name === name)) {
    throw new UsageError(`no key is called ${JSON.stringify(name.slice(0, 100))}`, { file });
  }
  const revoked = new Date().toISOString();
  await writeKeys(
    file,
    records.map((record) => (record.name === name ? { revoked, ...record } : record)),
  );
}

async function readIfThere(file: string): Promise<KeyRecord[] | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new UsageError(`the keys cannot be read: ${messageOf(cause)}`, { file, cause });
  }
  return parseKeys(text, file);
}

/** Whole or not at all, as a running server may read it at any moment; for its owner's eyes. */
async function writeKeys(file: string, keys: readonly KeyRecord[]): Promise<void> {
  const text = `${JSON.stringify({ keys }, undefined, 2)}\n`;
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new OutputError(`the keys cannot be written: ${messageOf(cause)}`, { file, cause });
  }
}
