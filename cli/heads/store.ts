/** Where heads lie on this machine, and how they are named on the command line. */
import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../../src/errors.ts';
import { writeFile } from '../../src/metadata/folder.ts';
import { encodeHead, readHead } from '../../src/safety/heads/file.ts';
import type { Head } from '../../src/safety/heads/head.ts';
import { KNOWN_HEADS, type KnownHead } from '../../src/safety/heads/known.ts';
import type { Env } from '../hub/settings.ts';
import { openFolder } from '../io/folder.ts';
import { nearestName } from '../models/aliases.ts';
import { modelFile } from '../onnx/files.ts';

export const HEAD_EXTENSION = '.safetensors';

/** `SHARDSIEVE_HEADS`, else `shardsieve/heads` in the user's cache. */
export function headsFolder(env: Env = process.env): string {
  if (env.SHARDSIEVE_HEADS) return resolve(env.SHARDSIEVE_HEADS);
  const home = env.HOME || env.USERPROFILE || homedir();
  return join(env.XDG_CACHE_HOME || join(home, '.cache'), 'shardsieve', 'heads');
}

/** The file that a pulled head is kept in. */
export function pulledPath(known: KnownHead, env: Env = process.env): string {
  return join(headsFolder(env), `${known.alias}${HEAD_EXTENSION}`);
}

export function findKnown(alias: string): KnownHead | undefined {
  return KNOWN_HEADS.find((known) => known.alias === alias);
}

/**
 * A head by the name it is pulled under, or by its file. Throws `UsageError` where there is none, saying how to get
 * it, and `ModelError` where the file is no head.
 */
export async function openHead(spec: string, env: Env = process.env): Promise<{ head: Head; path: string }> {
  const known = findKnown(spec);
  const path = known === undefined ? resolve(spec) : pulledPath(known, env);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) throw missing(spec, known, path);
  return { head: await readHead(await modelFile(path)), path };
}

/** Writes a head, whole or not at all. Throws `OutputError`. */
export async function saveHead(head: Head, path: string): Promise<void> {
  await writeFile(openFolder(dirname(resolve(path))), basename(path), encodeHead(head));
}

/** Files in the folder of heads that are not pulled ones: a user's own, put there. */
export async function otherHeads(env: Env = process.env): Promise<string[]> {
  const folder = headsFolder(env);
  const names = await readdir(folder).catch((): string[] => []);
  const pulled = new Set(KNOWN_HEADS.map((known) => basename(pulledPath(known, env))));
  return names
    .filter((name) => name.endsWith(HEAD_EXTENSION) && !name.startsWith('.') && !pulled.has(name))
    .sort()
    .map((name) => join(folder, name));
}

function missing(spec: string, known: KnownHead | undefined, path: string): UsageError {
  if (known !== undefined) {
    return new UsageError(`the head ${spec} is not on this machine`, {
      file: path,
      hint: `Run: shardsieve heads pull ${spec}`,
    });
  }
  const aliases = KNOWN_HEADS.map(({ alias }) => alias);
  const nearest = nearestName(spec, aliases);
  return new UsageError(`there is no head ${JSON.stringify(spec.slice(0, 200))}`, {
    hint: `${nearest === undefined ? '' : `Did you mean ${nearest}? `}It is a file, or one of ${aliases.join(', ')}`,
  });
}
