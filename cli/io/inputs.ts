/**
 * The SHARDS of a command line: files, folders, globs, brace ranges, `@list.txt`, `-`.
 *
 * Order is the arguments'; inside a folder, a glob or braces it is by code unit, as given for braces. What exists
 * under an argument's very name is taken for that, whatever `[`, `{` or `*` are in it.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { expand } from 'brace-expansion';
import { glob, isDynamicPattern } from 'tinyglobby';
import { messageOf, UsageError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { isShardName, shardBaseName } from '../../src/webdataset/names.ts';
import { fileSource, stdinSource } from './file.ts';

/** Names that braces may stand for. DataComp's largest pool has 1.3 million shards; more is a slip of the finger. */
const MAX_EXPANSION = 4_000_000;

const RANGE = /\{-?\w+\.\.-?\w+(?:\.\.-?\d+)?\}/;

export interface ExpandOptions {
  /** What a tar on stdin (`-`) is called. */
  name?: string;
}

/**
 * One source a shard, each of another base name. Throws `UsageError` where an argument stands for nothing, for no
 * shard, or two for shards of one base name. A missing number of a brace range is passed over; any other missing
 * file is a source that fails with `missing` when it is read, so that the run names it and goes on.
 */
export async function expandShards(
  args: readonly string[],
  options: ExpandOptions = {},
): Promise<ByteSource[]> {
  const sources: ByteSource[] = [];
  const folders = new Folders();
  for (const arg of args) {
    if (arg === '-') sources.push(stdin(options.name));
    else if (arg.startsWith('@')) {
      for (const line of await listed(arg.slice(1)))
        sources.push(...(await expandOne(line, folders)).map(fileSource));
    } else sources.push(...(await expandOne(arg, folders)).map(fileSource));
  }
  if (sources.length === 0) throw new UsageError('no shards were given');
  refuseTwins(sources);
  return sources;
}

function stdin(name: string | undefined): ByteSource {
  if (name === undefined) {
    throw new UsageError('a tar on stdin needs a name', {
      hint: 'Add --name 00000, its outputs are named after it',
    });
  }
  return stdinSource(name);
}

async function expandOne(arg: string, folders: Folders): Promise<string[]> {
  if (arg === '') throw new UsageError('an empty argument stands for no shard');
  if (/^(?:[a-z][a-z0-9+.-]+:\/\/|pipe:)/i.test(arg)) {
    const hint = 'Download it, or pipe it in: curl -L URL | shardsieve … - --name NAME';
    throw new UsageError(`${arg} is an address; shards are read from disk`, { hint });
  }
  const kind = await kindOf(arg);
  if (kind === 'file') return [arg];
  if (kind === 'folder') return shardsIn(arg);
  const names = braces(arg);
  const isRange = RANGE.test(arg);
  const found: string[] = [];
  for (const name of names)
    found.push(...(await expandName(name, folders, isRange || names.length > 1, isRange)));
  if (found.length > 0) return found;
  throw new UsageError(`${JSON.stringify(arg)} matches no file`, {
    hint: 'Patterns are relative to where you are',
  });
}

/** One name without braces. In a list of names a pattern may match nothing, as long as another one does. */
async function expandName(
  name: string,
  folders: Folders,
  isOneOfMany: boolean,
  isRange: boolean,
): Promise<string[]> {
  if (isOneOfMany) {
    const kind = await folders.kindOf(name);
    if (kind === 'file') return [name];
    if (kind === 'folder') return shardsIn(name);
  }
  if (isDynamicPattern(name)) return globbed(name);
  return isRange ? [] : [name];
}

function braces(arg: string): string[] {
  if (!arg.includes('{')) return [arg];
  const names = expand(arg, { max: MAX_EXPANSION + 1, maxLength: MAX_EXPANSION * 256 });
  if (names.length > MAX_EXPANSION) {
    throw new UsageError(`${JSON.stringify(arg)} stands for more than ${MAX_EXPANSION} names`);
  }
  return names;
}

async function globbed(pattern: string): Promise<string[]> {
  const slashed = process.platform === 'win32' ? pattern.replaceAll('\\', '/') : pattern;
  const found = await glob(slashed, {
    expandDirectories: false,
    braceExpansion: false,
    absolute: isAbsolute(pattern),
  });
  return found.sort();
}

async function shardsIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => isShardName(name) && !name.startsWith('.')).sort();
  if (names.length === 0) {
    throw new UsageError(`the folder ${folder} has no .tar, .tar.gz or .tgz in it`);
  }
  return names.map((name) => join(folder, name));
}

async function listed(path: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`the list of shards cannot be read: ${messageOf(error)}`, {
      file: path,
      cause: error,
    });
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const names = lines.filter((line) => line !== '' && !line.startsWith('#'));
  const nested = names.find((name) => name.startsWith('@') || name === '-');
  if (nested !== undefined) {
    throw new UsageError(`a list of shards holds neither lists nor stdin: ${nested}`, { file: path });
  }
  if (names.length === 0) throw new UsageError('the list of shards is empty', { file: path });
  return names;
}

/** Outputs are named after base names, so two shards of one name would overwrite each other. */
function refuseTwins(sources: readonly ByteSource[]): void {
  const byBase = new Map<string, string>();
  for (const { name } of sources) {
    const base = shardBaseName(name);
    const first = byBase.get(base);
    if (first === name) throw new UsageError(`the shard ${name} was given twice`);
    if (first !== undefined) {
      const hint = 'Their outputs would have one name: rename one of them or make two runs';
      throw new UsageError(`two shards have one base name: ${first} and ${name}`, { hint });
    }
    byBase.set(base, name);
  }
}

async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? undefined : found.isDirectory() ? 'folder' : 'file';
}

/** What exists, asking once for a folder and not for each of a million names in it. */
class Folders {
  readonly #listings = new Map<string, Promise<Set<string>>>();

  async kindOf(path: string): Promise<'file' | 'folder' | undefined> {
    const cut = path.lastIndexOf('/') + 1;
    const folder = path.slice(0, cut) || '.';
    let names = this.#listings.get(folder);
    if (names === undefined) {
      names = readdir(folder).then(
        (list) => new Set(list),
        () => new Set<string>(),
      );
      this.#listings.set(folder, names);
    }
    return (await names).has(path.slice(cut)) ? kindOf(path) : undefined;
  }
}
