/** What a MODEL argument says, before anything is looked up. */
import { basename, dirname, resolve } from 'node:path';
import { UsageError } from '../../src/errors.ts';
import { checkRepo, checkRevision } from '../hub/names.ts';
import { ALIASES, aliasOfRepo, findAlias, nearestName } from './aliases.ts';

export type ModelSpec =
  | { kind: 'demo' }
  | { kind: 'local'; folder: string }
  | { kind: 'hub'; alias?: string; repo: string; revision: string };

const HUB_PREFIX = 'hf-hub:';
const LOCAL_PREFIX = 'local-dir:';
/** The hub's name for a branch nobody named. */
const DEFAULT_REVISION = 'main';

/**
 * Reads `ALIAS`, `hf-hub:org/name[@revision]`, `local-dir:PATH` or `demo`; the two prefixes are open_clip's own.
 * Throws `UsageError` for anything else, with the nearest known name.
 */
export function parseModelSpec(text: string): ModelSpec {
  if (text === 'demo') return { kind: 'demo' };
  if (text.startsWith(LOCAL_PREFIX)) {
    const path = text.slice(LOCAL_PREFIX.length);
    if (path === '') throw new UsageError('local-dir: names no folder', { hint: 'Write local-dir:PATH' });
    return { kind: 'local', folder: resolve(path) };
  }
  if (text.startsWith(HUB_PREFIX)) return parseHub(text.slice(HUB_PREFIX.length));
  const alias = findAlias(text);
  if (alias !== undefined) {
    return { kind: 'hub', alias: alias.name, repo: alias.repo, revision: DEFAULT_REVISION };
  }
  throw unknown(text);
}

function parseHub(text: string): ModelSpec {
  // A repository's name has no @, a revision may.
  const at = text.indexOf('@');
  // open_clip's own table ends its repositories with a slash; people copy them.
  const repo = (at < 0 ? text : text.slice(0, at)).replace(/\/$/, '');
  const revision = at < 0 ? DEFAULT_REVISION : text.slice(at + 1);
  checkRepo(repo);
  checkRevision(revision);
  return { kind: 'hub', alias: aliasOfRepo(repo)?.name, repo, revision };
}

function unknown(text: string): UsageError {
  const known = [...ALIASES.map((alias) => alias.name), 'demo'];
  const nearest = nearestName(text, known);
  const hints = [
    nearest === undefined ? '' : `Did you mean ${nearest}? `,
    text.includes('/') ? `For a repository write hf-hub:${text}, for a folder local-dir:${text}. ` : '',
    `Known names: ${known.join(', ')}; or hf-hub:org/name[@revision], or local-dir:PATH`,
  ];
  return new UsageError(`no model is called ${JSON.stringify(text.slice(0, 200))}`, { hint: hints.join('') });
}

/** Longer names would make columns nobody can read; the hub's own limit on a name is 96. */
const MAX_SLUG_LENGTH = 64;

/**
 * A column slug from a name: lower case, every run of other characters than `a-z0-9` one `_`, none at the ends.
 * `CLIP-ViT-B-16-laion2B-s34B-b88K` gives `clip_vit_b_16_laion2b_s34b_b88k`.
 */
export function slugOf(name: string): string {
  const slug = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, MAX_SLUG_LENGTH)
    .replace(/^_+|_+$/g, '');
  return slug === '' ? 'model' : slug;
}

/** The slug of a repository: its alias's where it has one, else from the part after the slash. */
export function slugOfRepo(repo: string): string {
  return aliasOfRepo(repo)?.slug ?? slugOf(repo.slice(repo.indexOf('/') + 1));
}

const SNAPSHOT = /^models--([^/\\]+)$/;

/**
 * What a folder is called: its own name; for a snapshot in the hub's cache, whose own name is a commit, the
 * repository it is of.
 */
export function nameOfFolder(folder: string): { name: string; slug: string; revision?: string } {
  const own = basename(folder);
  const cached = SNAPSHOT.exec(basename(dirname(dirname(folder))));
  if (cached !== null && basename(dirname(folder)) === 'snapshots') {
    const repo = cached[1].split('--').join('/');
    return { name: repo, slug: slugOfRepo(repo), revision: own };
  }
  return { name: own, slug: slugOf(own) };
}
