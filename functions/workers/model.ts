/** Which model the front answers with, and where its towers are: configuration says. */
import type { Embedder } from '../../src/clip/embedder.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { UsageError } from '../../src/errors.ts';
import type { ServedModel } from '../app/service.ts';
import { remoteEmbedder, type TowerPlace } from '../towers/client.ts';
import type { Fetcher, R2Reader } from './bindings.ts';
import { loadTowers } from './embedder.ts';
import { headsBeside, readHeads } from './heads.ts';
import { once } from './once.ts';
import { opener, readManifest } from './r2.ts';
import type { EdgeRuntime } from './runtime.ts';

export interface ModelEnv {
  /**
   * - `here`: in this isolate, out of `MODELS`; for models as small as the demo's
   * - `bound`: behind the bindings `IMAGE_TOWER` and `TEXT_TOWER`
   * - `remote`: at `TOWERS_URL` (or each at its own `IMAGE_TOWER_URL` and `TEXT_TOWER_URL`), with `TOWER_KEY`
   */
  TOWERS?: string;
  MODELS?: R2Reader;
  /** Where in the bucket the exported towers lie, and their heads wherever the towers run. */
  MODEL?: string;
  IMAGE_TOWER?: Fetcher;
  TEXT_TOWER?: Fetcher;
  TOWERS_URL?: string;
  IMAGE_TOWER_URL?: string;
  TEXT_TOWER_URL?: string;
  TOWER_KEY?: string;
}

/** Who asks is waiting: past two other tries they had better ask again. */
const ATTEMPTS = 3;

export interface EdgeModel extends ServedModel {
  /** Loads what is not loaded yet, and asks towers elsewhere whether they are still there. */
  warm(): Promise<void>;
}

/** Throws `UsageError` for a configuration that names no towers, `ModelError` and `DownloadError` where they fail. */
export async function openModel(
  env: ModelEnv,
  parts: { merges: Uint8Array; runtime: () => Promise<EdgeRuntime>; onReplaced?(): void },
): Promise<EdgeModel> {
  const tokenizer = (contextLength: number) => createTokenizer(parts.merges, { contextLength });
  if (env.TOWERS === 'here') {
    const { MODELS, MODEL } = env;
    if (MODELS === undefined || MODEL === undefined) throw lacking('MODELS and MODEL, for TOWERS = "here"');
    const manifest = await readManifest(MODELS, MODEL);
    const { name, slug, fingerprint, preprocess, context_length } = manifest;
    const load = once(async () =>
      loadTowers(await parts.runtime(), manifest, ['image', 'text'], opener(MODELS, MODEL)),
    );
    const clip: Embedder = {
      dim: manifest.dim,
      contextLength: context_length,
      imageSize: manifest.image_size,
      logitScale: manifest.logit_scale,
      precision: manifest.precision,
      provider: 'wasm',
      embedPictures: async (pictures, signal) => (await load()).embedPictures(pictures, signal),
      embedTexts: async (ids, signal) => (await load()).embedTexts(ids, signal),
      release: async () => {},
    };
    const heads = await readHeads(MODELS, MODEL, manifest);
    return {
      ...{ name, slug, fingerprint, preprocess, clip, heads, tokenizer: tokenizer(context_length) },
      warm: async () => void (await load()),
    };
  }
  const clip = await remoteEmbedder(placesOf(env), { attempts: ATTEMPTS, onReplaced: parts.onReplaced });
  const { name, slug, fingerprint, preprocess, context_length } = clip.info;
  const heads = await headsBeside(env, fingerprint, { elsewhere: env.TOWERS === 'remote' });
  return {
    ...{ name, slug, fingerprint, preprocess, clip, heads, tokenizer: tokenizer(context_length) },
    warm: () => clip.check(),
  };
}

function placesOf(env: ModelEnv): { image: TowerPlace; text: TowerPlace } {
  const key = env.TOWER_KEY === undefined ? {} : { key: env.TOWER_KEY };
  if (env.TOWERS === 'bound') {
    const { IMAGE_TOWER, TEXT_TOWER } = env;
    if (IMAGE_TOWER === undefined || TEXT_TOWER === undefined) {
      throw lacking('IMAGE_TOWER and TEXT_TOWER, for TOWERS = "bound"');
    }
    const place = (name: string, binding: Fetcher) => ({
      url: `http://${name}`,
      fetch: (request: Request) => binding.fetch(request),
      ...key,
    });
    return { image: place('image', IMAGE_TOWER), text: place('text', TEXT_TOWER) };
  }
  if (env.TOWERS === 'remote') {
    const image = env.IMAGE_TOWER_URL ?? env.TOWERS_URL;
    const text = env.TEXT_TOWER_URL ?? env.TOWERS_URL;
    if (image === undefined || text === undefined) throw lacking('TOWERS_URL, for TOWERS = "remote"');
    const place = (url: string) => ({ url: url.replace(/\/$/, ''), ...key });
    return { image: place(image), text: place(text) };
  }
  throw lacking('TOWERS: "here", "bound" or "remote"');
}

function lacking(what: string): UsageError {
  return new UsageError(`the Worker is not configured: it lacks ${what}`, { hint: 'See docs/edge.md' });
}
