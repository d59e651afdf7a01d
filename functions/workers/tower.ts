/** A Worker that holds one tower and nothing else; the front asks it through a service binding. */
import type { Hono } from 'hono';
import type { Embedder } from '../../src/clip/embedder.ts';
import type { ExportManifest } from '../../src/clip/export/manifest.ts';
import type { TowerInfo } from '../towers/info.ts';
import { TOWERS_PROTOCOL, type Tower } from '../towers/protocol.ts';
import { type TowerService, towersApp } from '../towers/server.ts';
import type { R2Reader } from './bindings.ts';
import { loadTowers } from './embedder.ts';
import { once } from './once.ts';
import { opener, readManifest } from './r2.ts';
import { EdgeRuntime } from './runtime.ts';

export interface TowerEnv {
  /** The bucket with exported towers. */
  MODELS: R2Reader;
  /** Where in it: the folder of `manifest.json`. */
  MODEL: string;
  /** Asked for where the tower is reachable from outside. */
  TOWER_KEY?: string;
  /** MiB of WebAssembly memory, in place of the tower's own figure. */
  WASM_MIB?: string;
}

/** Of one request: each is held in memory, and runs on one thread. */
const MAX_PICTURES = 8;
const MAX_TEXTS = 32;

export function infoOf(manifest: ExportManifest, towers: Tower[]): TowerInfo {
  const { name, slug, preprocess, dim, context_length, vocab_size, image_size } = manifest;
  const { logit_scale, precision, fingerprint } = manifest;
  return {
    protocol: TOWERS_PROTOCOL,
    ...{ name, slug, preprocess, towers, dim, context_length, vocab_size, image_size },
    ...{ logit_scale, precision, fingerprint },
    provider: 'wasm',
    max_pictures: MAX_PICTURES,
    max_texts: MAX_TEXTS,
  };
}

/** The Worker's handlers. `mebibytes` is the memory of ViT-B/32 with what one run takes, and no more. */
export function towerWorker(tower: Tower, wasm: WebAssembly.Module, mebibytes: number) {
  let app: Hono | undefined;
  return {
    fetch(request: Request, env: TowerEnv): Response | Promise<Response> {
      app ??= towerApp(tower, wasm, mebibytes, env);
      return app.fetch(request);
    },
  };
}

function towerApp(tower: Tower, wasm: WebAssembly.Module, mebibytes: number, env: TowerEnv): Hono {
  let runtime: EdgeRuntime | undefined;
  let tableBytes = 0;
  const load = async (manifest: ExportManifest): Promise<Embedder> => {
    // Kept after a failure: its memory cannot be given back, and a second one would not fit.
    runtime ??= await EdgeRuntime.start(wasm, Number(env.WASM_MIB ?? mebibytes));
    if (tower === 'text') tableBytes = manifest.files.table.bytes;
    return loadTowers(runtime, manifest, [tower], opener(env.MODELS, env.MODEL));
  };
  const open = async (): Promise<TowerService> => {
    const manifest = await readManifest(env.MODELS, env.MODEL);
    return { info: infoOf(manifest, [tower]), embedder: once(() => load(manifest)) };
  };
  const app = towersApp(once(open), {
    ...(env.TOWER_KEY === undefined ? {} : { key: env.TOWER_KEY }),
    onError: (message) => console.error(JSON.stringify({ level: 'error', tower, message })),
  });
  // What an isolate holds beside JavaScript's own heap, in bytes.
  app.get('/memory', (context) =>
    context.json({ wasm: runtime?.size ?? 0, touched: runtime?.touched() ?? 0, table: tableBytes }),
  );
  return app;
}
