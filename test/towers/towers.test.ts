import { HttpResponse, http } from 'msw';
import { setupServer } from 'msw/node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openClip } from '../../cli/onnx/clip.ts';
import { loadMerges } from '../../cli/vocab.ts';
import { type RemoteOptions, remoteEmbedder, TowersReplaced } from '../../functions/towers/client.ts';
import type { TowerInfo } from '../../functions/towers/info.ts';
import { encodePictures, encodeTexts } from '../../functions/towers/protocol.ts';
import { type TowerService, towersApp } from '../../functions/towers/server.ts';
import { type Embedder, embedderOf } from '../../src/clip/embedder.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { BusyError, CancelledError, DownloadError, ModelError } from '../../src/errors.ts';
import { parsePreprocess } from '../../src/image/preprocess-config.ts';

const SIDE = 64;
const clip = await openClip(
  { config: 'demo/model/open_clip_config.json', weights: 'demo/model/open_clip_model.safetensors' },
  { threads: 1, worker: false },
);
const preprocess = parsePreprocess(undefined, SIDE);
const local = embedderOf(clip, preprocess);
const tokenizer = createTokenizer(await loadMerges());
const pictures = Array.from({ length: 5 }, (_, n) =>
  Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, i) => (i * (n + 3) + 11 * n) % 256),
);
const texts = ['a cat', 'a dog on a red sofa in the sun', 'x', 'two birds', ''].map(
  (caption) => tokenizer.encode(caption).ids,
);

const info: TowerInfo = {
  protocol: 1,
  name: 'demo',
  slug: 'demo',
  preprocess,
  towers: ['image', 'text'],
  dim: local.dim,
  context_length: local.contextLength,
  vocab_size: 49_408,
  image_size: SIDE,
  logit_scale: local.logitScale,
  precision: local.precision,
  provider: local.provider,
  fingerprint: 'f',
  max_pictures: 2,
  max_texts: 3,
};
const service = (changes: Partial<TowerInfo> = {}, embedder: Embedder = local) => {
  const made: TowerService = { info: { ...info, ...changes }, embedder: async () => embedder };
  return async () => made;
};
/** As over a service binding. */
const bound = (app: ReturnType<typeof towersApp>, key?: string) => ({
  url: 'http://tower',
  fetch: async (request: Request) => app.fetch(request),
  ...(key === undefined ? {} : { key }),
});

const expected = await local.embedTexts(texts.slice(0, 1));

afterAll(() => local.release());

describe('towers behind a binding', () => {
  it('give the bytes that the embedder gives, split as they ask for it', async () => {
    const sizes: number[] = [];
    const counting: Embedder = {
      ...local,
      embedPictures(items) {
        sizes.push(items.length);
        return local.embedPictures(items);
      },
    };
    const image = bound(towersApp(service({ towers: ['image'] }, counting)));
    const text = bound(towersApp(service({ towers: ['text'] })));
    for (const concurrency of [1, 3]) {
      const remote = await remoteEmbedder({ image, text }, { concurrency });
      expect(remote).toMatchObject({
        dim: 128,
        contextLength: 77,
        imageSize: SIDE,
        precision: 'fp32',
        provider: 'cpu',
        fingerprint: 'f',
        logitScale: local.logitScale,
      });
      expect(await remote.embedPictures(pictures)).toEqual(await local.embedPictures(pictures));
      expect(await remote.embedTexts(texts)).toEqual(await local.embedTexts(texts));
      expect(await remote.embedTexts([])).toEqual(new Float32Array(0));
      await expect(remote.embedPictures([new Uint8Array(5)])).rejects.toThrow(ModelError);
    }
    expect(sizes).toEqual([2, 2, 1, 2, 2, 1]);
  });

  it('open with their key only, and must be of one model', async () => {
    const place = (key: string) => bound(towersApp(service(), { key: 'secret' }), key);
    await expect(remoteEmbedder({ image: place('secret'), text: place('secret') })).resolves.toBeDefined();
    const wrong = remoteEmbedder({ image: place('secret'), text: place('guess') });
    await expect(wrong).rejects.toThrow(/401: the key is missing/);
    const other = bound(towersApp(service({ fingerprint: 'g' })));
    const mixed = remoteEmbedder({ image: bound(towersApp(service())), text: other });
    await expect(mixed).rejects.toThrow(/not of one model/);
    const lacking = bound(towersApp(service({ towers: ['text'] })));
    await expect(remoteEmbedder({ image: lacking, text: lacking })).rejects.toThrow(
      /image tower is not there/,
    );
    const strange = { url: 'http://tower', fetch: async () => Response.json({ status: 'ok' }) };
    await expect(remoteEmbedder({ image: strange, text: strange })).rejects.toThrow(DownloadError);
  });

  it('do not answer for others that were there before them', async () => {
    let now = service();
    const place = bound(towersApp(() => now()));
    const lost: string[] = [];
    const remote = await remoteEmbedder(
      { image: place, text: place },
      { onReplaced: () => lost.push('replaced') },
    );
    await remote.check();
    now = service({ fingerprint: 'g' });
    await expect(remote.embedTexts(texts)).rejects.toThrow(TowersReplaced);
    await expect(remote.embedPictures(pictures)).rejects.toThrow(TowersReplaced);
    await expect(remote.check()).rejects.toThrow(TowersReplaced);
    expect(lost.length).toBeGreaterThanOrEqual(3);
    const answer = await towersApp(now).request('/texts', {
      ...{ method: 'POST', body: encodeTexts(texts.slice(0, 1)) },
      headers: { 'shardsieve-fingerprint': 'f' },
    });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([409, 'application/problem+json']);
    expect(await answer.json()).toMatchObject({ status: 409, detail: expect.stringContaining('g') });
  });

  it('refuse what is not asked for rightly, each with its status', async () => {
    let told = '';
    const failing: Embedder = {
      ...local,
      embedTexts: () => Promise.reject(new ModelError('out of memory at 0xdeadbeef')),
    };
    const app = towersApp(service({ towers: ['image', 'text'] }, failing), {
      onError: (message) => {
        told = message;
      },
    });
    const post = async (path: string, body: Uint8Array<ArrayBuffer> | string, target = app) => {
      const answer = await target.request(path, { method: 'POST', body });
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      const problem = (await answer.json()) as { status: number; detail: string };
      expect(problem.status).toBe(answer.status);
      return [answer.status, problem.detail] as const;
    };
    const ints = (...values: number[]) => new Uint8Array(Int32Array.from(values).buffer);
    expect((await post('/pictures', ''))[0]).toBe(400);
    expect((await post('/pictures', new Uint8Array(100)))[0]).toBe(400);
    expect((await post('/pictures', encodePictures(pictures.slice(0, 3))))[0]).toBe(413);
    for (const body of [
      ints(),
      ints(0),
      ints(-1),
      ints(2, 1, 5),
      ints(1, 2, 5),
      ints(1, 1, 5, 6),
      ints(1, 0),
    ]) {
      expect((await post('/texts', body))[0]).toBe(400);
    }
    expect((await post('/texts', encodeTexts(texts.slice(0, 4))))[0]).toBe(413);
    expect((await post('/texts', new Uint8Array(10_000)))[0]).toBe(413);
    expect(await post('/texts', ints(1, 2, 3, 49_408))).toEqual([422, expect.stringContaining('49408')]);
    expect((await post('/texts', encodeTexts([new Int32Array(78)])))[0]).toBe(422);
    expect((await post('/nowhere', ''))[0]).toBe(404);
    const wrongMethod = await app.request('/pictures');
    expect([wrongMethod.status, wrongMethod.headers.get('allow')]).toEqual([405, 'POST']);
    const [status, detail] = await post('/texts', encodeTexts(texts.slice(0, 1)));
    expect(status).toBe(500);
    expect(detail).not.toContain('deadbeef');
    expect(told).toContain('deadbeef');
    const imageOnly = towersApp(service({ towers: ['image'] }));
    expect((await post('/texts', encodeTexts(texts.slice(0, 1)), imageOnly))[0]).toBe(404);
  });

  it('answer 503 to more at once than they hold, and the client comes again', async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const slow: Embedder = {
      ...local,
      async embedTexts(ids) {
        await gate;
        return local.embedTexts(ids);
      },
    };
    const app = towersApp(service({}, slow), { backlog: 1 });
    const ask = () => app.request('/texts', { method: 'POST', body: encodeTexts(texts.slice(0, 1)) });
    const first = ask();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const second = await ask();
    expect([second.status, second.headers.get('retry-after')]).toEqual([503, '1']);
    const place = bound(app);
    const waiting = remoteEmbedder({ image: place, text: place }).then((remote) =>
      remote.embedTexts(texts.slice(0, 1)),
    );
    setTimeout(open, 100);
    const full: Embedder = { ...local, embedTexts: () => Promise.reject(new BusyError('full', 7)) };
    const body = encodeTexts(texts.slice(0, 1));
    const busy = await towersApp(service({}, full)).request('/texts', { method: 'POST', body });
    expect([busy.status, busy.headers.get('retry-after')]).toEqual([503, '7']);
    expect((await first).status).toBe(200);
    expect(await waiting).toEqual(await local.embedTexts(texts.slice(0, 1)));
  });
});

describe('towers over the network', () => {
  const app = towersApp(service());
  const server = setupServer();
  beforeAll(() => server.listen({ onUnhandledFrame: 'error' }));
  afterEach(() => server.resetHandlers());
  afterAll(() => server.close());
  const url = 'http://gpu.test/towers';
  const forward = ({ request }: { request: Request }) => {
    const path = new URL(request.url).pathname.slice('/towers'.length);
    return app.fetch(new Request(`http://tower${path}`, request));
  };
  const open = async (options: RemoteOptions = {}) => {
    server.use(http.all(`${url}/*`, forward));
    return remoteEmbedder({ image: { url }, text: { url } }, options);
  };
  /** The first answers to captions; what comes after them is right. */
  const faults = (...answers: (() => Response | Promise<Response>)[]) => {
    let asked = 0;
    server.use(
      http.post(`${url}/texts`, (given) => {
        const answer = answers[asked++];
        return answer === undefined ? forward(given) : answer();
      }),
    );
    return () => asked;
  };
  const busy = (status: number, after: string) => () =>
    new HttpResponse(null, { status, headers: { 'retry-after': after } });
  const never = () => new Promise<Response>(() => {});

  it('answer as at home', async () => {
    const remote = await open();
    expect(await remote.embedPictures(pictures)).toEqual(await local.embedPictures(pictures));
    expect(await remote.embedTexts(texts)).toEqual(await local.embedTexts(texts));
  });

  it('are asked again when busy, cut off or silent', async () => {
    const remote = await open({ timeoutMs: 300 });
    const inThePast = new Date(0).toUTCString();
    const asked = faults(busy(429, '0'), busy(503, inThePast), () => HttpResponse.error(), never);
    expect(await remote.embedTexts(texts.slice(0, 1))).toEqual(expected);
    expect(asked()).toBe(5);
  });

  it('are waited for as long as they say, and no longer than is sensible', async () => {
    const remote = await open();
    faults(busy(503, '1'));
    const started = performance.now();
    expect(await remote.embedTexts(texts.slice(0, 1))).toEqual(expected);
    expect(performance.now() - started).toBeGreaterThan(950);
    const asked = faults(busy(429, '3600'));
    await expect(remote.embedTexts(texts.slice(0, 1))).rejects.toThrow(/answered 429/);
    expect(asked()).toBe(1);
  });

  it('fail by name where another try is no use, or was no use', async () => {
    const remote = await open({ attempts: 2, timeoutMs: 200 });
    const failing = async (answer: () => Response | Promise<Response>) => {
      const asked = faults(answer, answer, answer);
      const error = await remote.embedTexts(texts.slice(0, 1)).catch((thrown: unknown) => thrown);
      return [error, asked()] as const;
    };
    const [failed, once] = await failing(() => HttpResponse.json({ detail: 'it broke' }, { status: 500 }));
    expect(failed).toBeInstanceOf(DownloadError);
    expect(String(failed)).toContain('500: it broke');
    expect(once).toBe(1);
    const [silent, twice] = await failing(never);
    expect(String(silent)).toContain('no answer within 200 ms');
    expect(twice).toBe(2);
    const [short] = await failing(() => HttpResponse.arrayBuffer(new ArrayBuffer(12)));
    expect(String(short)).toContain('12 bytes in place of 512');
    const [wild] = await failing(() => HttpResponse.arrayBuffer(new Uint8Array(512).fill(0xff).buffer));
    expect(String(wild)).toContain('no finite number');
    const [moved] = await failing(() => HttpResponse.redirect('http://elsewhere.test/', 302));
    expect(String(moved)).toContain('answered 302');
    server.resetHandlers(http.all(`${url}/*`, forward));
    const unknown = await remote.embedTexts([Int32Array.of(49_406, 49_407, 60_000)]).catch((e: unknown) => e);
    expect(unknown).toBeInstanceOf(ModelError);
  });

  it('stop on the signal, while asked and while waited for', async () => {
    const remote = await open();
    for (const answer of [never, busy(503, '30')]) {
      faults(answer);
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 50);
      await expect(remote.embedTexts(texts.slice(0, 1), stop.signal)).rejects.toThrow(CancelledError);
    }
    await expect(remote.embedTexts(texts, AbortSignal.abort())).rejects.toThrow(CancelledError);
  });
});
