/** What `shardsieve models list` shows. */
import { join } from 'node:path';
import { lookUp, repoCache } from '../hub/cache.ts';
import { type Env, hubSettings } from '../hub/settings.ts';
import { packageRoot } from '../package-root.ts';
import { ALIASES, DEFAULT_ALIAS } from './aliases.ts';
import { CONFIG_FILE, sizeOf, WEIGHTS_FILE } from './files.ts';

export interface ModelRow {
  alias: string;
  /** `org/name`; absent for the embedded model. */
  repo?: string;
  slug: string;
  licence: string;
  note: string;
  isDefault: boolean;
  /** Both files are on this machine. */
  cached: boolean;
  /** The commit that `main` stood for when it was cached. */
  revision?: string;
  /** Bytes of both files, where they are here. */
  bytes?: number;
}

/** Every model that has a short name, and whether it is here already. Makes no request. */
export async function listModels(options: { env?: Env } = {}): Promise<ModelRow[]> {
  const { cacheDir } = hubSettings(options.env);
  const rows = ALIASES.map(async (alias): Promise<ModelRow> => {
    const cache = repoCache(cacheDir, alias.repo);
    const config = await lookUp(cache, 'main', CONFIG_FILE);
    const weights = await lookUp(cache, 'main', WEIGHTS_FILE);
    const row = {
      alias: alias.name,
      repo: alias.repo,
      slug: alias.slug,
      licence: alias.licence,
      note: alias.note,
      isDefault: alias.name === DEFAULT_ALIAS,
    };
    if (config.found !== 'file' || weights.found !== 'file') return { ...row, cached: false };
    return { ...row, cached: true, revision: weights.commit, bytes: config.size + weights.size };
  });
  return [...(await Promise.all(rows)), await demoRow()];
}

async function demoRow(): Promise<ModelRow> {
  const folder = join(packageRoot(), 'demo', 'model');
  const config = await sizeOf(join(folder, CONFIG_FILE));
  const weights = await sizeOf(join(folder, WEIGHTS_FILE));
  const row = {
    alias: 'demo',
    slug: 'demo',
    licence: 'see demo/model',
    note: 'a small model that ships with Shardsieve, for trying it out: not for real data',
    isDefault: false,
  };
  if (config === undefined || weights === undefined) return { ...row, cached: false };
  return { ...row, cached: true, bytes: config + weights };
}
