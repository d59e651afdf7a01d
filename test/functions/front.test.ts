import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { TowerInfo } from '../../functions/towers/info.ts';
import { towersApp } from '../../functions/towers/server.ts';
import { type FrontEnv, type FrontModules, frontHandlers } from '../../functions/workers/front.ts';
import type { Embedder } from '../../src/clip/embedder.ts';
import { parsePreprocess } from '../../src/image/preprocess-config.ts';

const { resolve } = createRequire(import.meta.url);
const compile = async (path: string) => new WebAssembly.Module(await readFile(resolve(path)));
const exact = async (path: string) => new Uint8Array(await readFile(path)).buffer;

let modules: FrontModules;
beforeAll(async () => {
  vi.spyOn(console, 'log').mockReturnValue();
  modules = {
    jpeg: await compile('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm'),
    webp: await compile('@jsquash/webp/codec/dec/webp_dec.wasm'),
    ort: await compile('onnxruntime-web/ort-wasm-simd-threaded.wasm'),
    merges: await exact('assets/clip-vocab/merges.txt.gz'),
    nsfwjs: await exact('assets/nsfwjs/mobilenet_v2.safetensors'),
  };
});

const info: TowerInfo = {
  ...{ protocol: 1, name: 'demo', slug: 'demo', preprocess: parsePreprocess(undefined, 64) },
  ...{ towers: ['image', 'text'], dim: 2, context_length: 77, vocab_size: 49_408, image_size: 64 },
  ...{ logit_scale: 100, precision: 'int8', provider: 'wasm', fingerprint: 'old' },
  ...{ max_pictures: 8, max_texts: 32 },
};
/** Towers whose every embedding is one vector, and which others can be put in the place of. */
function towers() {
  const state = { fingerprint: 'old', row: [1, 0], isThere: true };
  const embed = async (items: readonly unknown[]) => Float32Array.from(items.flatMap(() => state.row));
  const embedder: Embedder = {
    ...{ dim: 2, contextLength: 77, imageSize: 64, logitScale: 100, precision: 'int8', provider: 'wasm' },
    ...{ embedPictures: embed, embedTexts: embed, release: async () => {} },
  };
  const app = towersApp(async () => ({
    info: { ...info, fingerprint: state.fingerprint },
    embedder: async () => embedder,
  }));
  const binding = {
    fetch: async (request: Request) =>
      state.isThere ? app.fetch(request) : new Response(null, { status: 500 }),
  };
  const env: FrontEnv = { TOWERS: 'bound', OPEN: 'yes', IMAGE_TOWER: binding, TEXT_TOWER: binding };
  return { state, env };
}

function front(env: FrontEnv, of = modules) {
  const handlers = frontHandlers(of);
  return {
    ready: async () => (await handlers.fetch(new Request('http://front/readyz'), env)).status,
    async embed() {
      const response = await handlers.fetch(
        new Request('http://front/v1/embed', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ captions: ['a cat'] }),
        }),
        env,
      );
      const { model, captions, detail } = (await response.json()) as {
        model?: { fingerprint: string };
        captions?: { embedding: number[] }[];
        detail?: string;
      };
      return [
        response.status,
        response.headers.get('retry-after'),
        detail ?? [model?.fingerprint, captions?.[0].embedding],
      ];
    },
  };
}

describe('a front whose towers are bound', () => {
  test('never gives new numbers under the old fingerprint: one 503, and then the new towers', async () => {
    const { state, env } = towers();
    const { embed } = front(env);
    expect(await embed()).toEqual([200, null, ['old', [1, 0]]]);
    Object.assign(state, { fingerprint: 'new', row: [0, 1] });
    const [both, also] = await Promise.all([embed(), embed()]);
    for (const answer of [both, also]) {
      expect(answer).toEqual([503, '1', expect.stringContaining('replaced')]);
    }
    expect(await embed()).toEqual([200, null, ['new', [0, 1]]]);
  });

  test('is ready only while its towers are', async () => {
    const { state, env } = towers();
    const { ready, embed } = front(env);
    state.isThere = false;
    expect(await ready()).toBe(503);
    state.isThere = true;
    expect(await ready()).toBe(200);
    state.isThere = false;
    expect((await embed())[0]).toBe(503);
    expect(await ready()).toBe(503);
    Object.assign(state, { isThere: true, fingerprint: 'new' });
    expect([await ready(), await ready()]).toEqual([503, 200]);
  });
});

test('a front that could not be made is made anew for the next request', async () => {
  const broken: FrontModules = { ...modules, nsfwjs: new ArrayBuffer(4) };
  const { ready } = front(towers().env, broken);
  await expect(ready()).rejects.toThrow();
  broken.nsfwjs = modules.nsfwjs;
  expect(await ready()).toBe(200);
});
