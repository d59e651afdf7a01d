import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { readTargets } from '../../src/embeddings/arrays.ts';
import type { Float32Matrix } from '../../src/embeddings/types.ts';
import { UsageError } from '../../src/errors.ts';
import type { Folder } from '../../src/io/bytes.ts';
import { type RunEntry, readRun } from '../../src/metadata/run.ts';
import { isShardName } from '../../src/webdataset/names.ts';
import { openFolder } from '../io/folder.ts';
import { ALIASES } from '../models/aliases.ts';
import { namesIn } from './files.ts';

/**
 * A target set: matrices in files, or the pictures of shards (`.tar`), embedded by the model that made the pool's
 * embeddings of this slug.
 */
export async function* targetsOf(
  path: string,
  slug: string,
  folders: readonly Folder[],
  signal?: AbortSignal,
): AsyncGenerator<Float32Matrix, void, undefined> {
  const names = await namesIn(path);
  const shards = names.filter((name) => isShardName(name));
  if (shards.length === 0) {
    const files = [];
    for (const name of names) files.push({ file: await ranged(name), name });
    yield* readTargets(files);
    return;
  }
  if (shards.length < names.length) {
    throw new UsageError('targets are either shards or files of embeddings', { file: path });
  }
  const scratch = await mkdtemp(join(tmpdir(), 'shardsieve-targets-'));
  try {
    const out = join(scratch, 'targets.npy');
    const { embedShards } = await import('../jobs/embed.ts');
    await embedShards({ shards, signal, out, ...(await modelOf(slug, folders)) });
    yield* readTargets([{ file: await ranged(out), name: path }]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

export function ranged(path: string) {
  return openFolder(dirname(path), { readOnly: true }).open(basename(path));
}

/** How to load the model of a slug: what `run.json` says of it, else the checkpoint that the slug is known for. */
async function modelOf(
  slug: string,
  folders: readonly Folder[],
): Promise<{ model: string; weightsSha256?: string }> {
  for (const folder of folders) {
    const entry: RunEntry | undefined = (await readRun(folder))?.models[slug];
    if (entry === undefined) continue;
    const { name, revision, weights_sha256: hash } = entry;
    const isOnHub = typeof name === 'string' && typeof revision === 'string';
    const model = isOnHub ? `hf-hub:${name}@${revision}` : name === 'demo' ? 'demo' : undefined;
    if (model !== undefined) return { model, ...(typeof hash === 'string' ? { weightsSha256: hash } : {}) };
  }
  const alias = ALIASES.find((known) => known.slug === slug);
  if (alias !== undefined) return { model: alias.name };
  throw new UsageError(
    `which model made the embeddings of ${slug} is not known, so shards cannot be embedded`,
    {
      hint: 'Embed them first: shardsieve embed SHARDS --model MODEL --out targets.npy',
    },
  );
}
