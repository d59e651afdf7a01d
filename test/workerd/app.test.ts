/** The app in the real workerd, beside the same app on Node: answers, problems, pictures at URLs. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadMerges } from '../../cli/vocab.ts';
import { EDGE_LIMITS } from '../../functions/app/limits.ts';
import type { ProblemDocument, ScoreAnswer } from '../../functions/app/schemas.ts';
import { memorySource } from '../../src/io/memory.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { type Running, startApp } from '../functions/serve.ts';
import { summingModel } from './app-model.ts';
import { type RunningWorker, startWorker } from './start.ts';

let worker: RunningWorker;
let node: Running;
let origin: Server;
let images: { base64: string }[];
let captions: string[];

beforeAll(async () => {
  worker = await startWorker('test/workerd/app.toml');
  node = await startApp({ models: [summingModel(await loadMerges())], limits: EDGE_LIMITS });
  const source = memorySource('pool', new Uint8Array(await readFile('demo/shards/demo-00001.tar')));
  images = [];
  captions = [];
  for await (const sample of readSamples(source.stream(), { shard: 'demo-00001' })) {
    if (images.length === EDGE_LIMITS.images) break;
    const { image, caption } = toPair(sample, { shardBase: 'demo-00001' });
    images.push({ base64: Buffer.from(image).toString('base64') });
    captions.push(caption);
  }
  origin = createServer((request, answer) => {
    if (request.url === '/good') answer.end(Buffer.from(images[0].base64, 'base64'));
    else if (request.url === '/away') answer.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    else if (request.url === '/once') answer.writeHead(302, { location: '/good' }).end();
    else if (request.url !== '/slow') answer.end('<html>'.repeat(100));
  }).listen(0, '127.0.0.1');
  await once(origin, 'listening');
});
afterAll(async () => {
  origin?.closeAllConnections();
  origin?.close();
  await Promise.all([worker?.dispose(), node?.close()]);
});

type Ask = (
  path: string,
  init?: { method?: string; body?: string; headers?: Record<string, string> },
) => Promise<Response>;

const post = (body: object) => ({
  ...{ method: 'POST', body: JSON.stringify(body) },
  headers: { 'content-type': 'application/json' },
});

/** The answers of both, without what a clock decides. */
async function both<Answer>(path: string, init?: Parameters<Ask>[1]): Promise<[number, Answer][]> {
  const asks: Ask[] = [(at, given) => worker.fetch(at, given), (at, given) => fetch(node.url + at, given)];
  return Promise.all(
    asks.map(async (ask): Promise<[number, Answer]> => {
      const answer = await ask(path, init);
      const json = (await answer.json()) as Answer & { took_ms?: number; request_id?: string };
      delete json.took_ms;
      delete json.request_id;
      return [answer.status, json];
    }),
  );
}

test('score, embed and classify answer the same in workerd and on Node', async () => {
  const items = images.map((image, i) => ({ image, captions: [captions[i], 'something else'] }));
  const asked: [string, object][] = [
    ['/v1/score', { items, embeddings: 'base64' }],
    ['/v1/embed', { images, captions }],
    ['/v1/classify', { images: images.slice(0, 4), labels: captions.slice(0, 5), templates: ['{}', 'a {}'] }],
  ];
  for (const [path, body] of asked) {
    const [edge, here] = await both<ScoreAnswer>(path, post(body));
    expect(edge[0]).toBe(200);
    expect(edge).toEqual(here);
  }
});

test('a form is read the same, whatever its type says beside its boundary', async () => {
  const boundary = `---------------------------${'7'.repeat(30)}`;
  const request = JSON.stringify({ items: [{ image: images[0], captions: [captions[0]] }] });
  const body = `--${boundary}\r\ncontent-disposition: form-data; name="request"\r\n\r\n${request}\r\n--${boundary}--\r\n`;
  for (const type of [`boundary=${boundary}`, `charset=utf-8; boundary="${boundary}"`]) {
    const headers = { 'content-type': `multipart/form-data; ${type}` };
    const [edge, here] = await both<ScoreAnswer>('/v1/score', { method: 'POST', body, headers });
    expect(edge[0]).toBe(200);
    expect(edge).toEqual(here);
  }
});

test('problems and the document are the same too', async () => {
  const asked: [string, Parameters<Ask>[1]][] = [
    ['/v1/score', { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }],
    ['/v1/score', post({ items: [{ image: { base64: 'AAAA' }, captions: [' '] }] })],
    ['/v1/score', post({ items: [{ image: { base64: 'AAAA' }, captions: ['a'] }] })],
    ['/v1/safety', post({ images })],
    ['/v1/score', {}],
    ['/nowhere', {}],
    ['/openapi.json', {}],
  ];
  for (const [path, init] of asked) {
    const [edge, here] = await both<ProblemDocument>(path, init);
    expect([path, edge]).toEqual([path, here]);
  }
  const large = await worker.fetch('/v1/score', { ...post({}), body: ' '.repeat(EDGE_LIMITS.bodyBytes + 1) });
  expect(large.status).toBe(413);
  const without = await worker.fetch('/v1/models?locked');
  expect([without.status, without.headers.get('www-authenticate')]).toEqual([
    401,
    'Bearer realm="shardsieve"',
  ]);
});

test('what only the edge decoder cannot read is 415 there, with the reason that is counted', async () => {
  const cmyk = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#abc' } })
    .toColourspace('cmyk')
    .jpeg()
    .toBuffer();
  const body = post({ images: [images[0], { base64: cmyk.toString('base64') }] });
  const [[edge, problem], [here]] = await both<ProblemDocument>('/v1/embed', body);
  expect([edge, here]).toEqual([415, 200]);
  expect(problem.errors).toMatchObject([{ pointer: '/images/1', reason: 'unsupported_at_edge' }]);
});

test('pictures at URLs by the platform’s own fetch: within the list, and no further', async () => {
  const listed = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  const score = async (url: string) => {
    const answer = await worker.fetch(
      `/v1/score?origin=${listed}&origin=http://10.0.0.1`,
      post({ items: [{ image: { url }, captions: ['a'] }] }),
    );
    return answer.status;
  };
  expect(await score(`${listed}/good`)).toBe(200);
  expect(await score(`${listed}/once`)).toBe(200);
  expect(await score(`${listed}/away`)).toBe(403);
  expect(await score('http://10.0.0.1/good')).toBe(403);
  expect(await score(`${listed}/page`)).toBe(415);
  expect(await score(`${listed}/slow`)).toBe(422);
});
