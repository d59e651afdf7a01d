/** What every request passes: keys, limits of rate, ids, problem documents, headers, the log. Over real HTTP. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { keyStore, newKey, parseKeys } from '../../functions/app/keys.ts';
import { tokenBuckets } from '../../functions/app/rate-limit.ts';
import type { EndLine } from '../../functions/app/shard-schemas.ts';
import { VERSION } from '../../src/version.ts';
import { picture } from '../helpers/pool.ts';
import { type Running, startApp } from './serve.ts';

let running: Running | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

test('healthz and readyz say what they are for; a server that is not ready says so with Retry-After', async () => {
  let isReady = true;
  running = await startApp({
    ready: async () => {
      if (!isReady) throw new Error('secret reason');
    },
  });
  const health = await fetch(`${running.url}/healthz`);
  expect(await health.json()).toEqual({ status: 'ok', version: VERSION });
  expect((await fetch(`${running.url}/readyz`)).status).toBe(200);
  isReady = false;
  const ready = await fetch(`${running.url}/readyz`);
  expect(ready.status).toBe(503);
  expect(ready.headers.get('retry-after')).toBe('1');
  expect(await ready.text()).not.toContain('secret');
  expect((await fetch(`${running.url}/healthz`)).status).toBe(200);
});

test('no route is 404, another method 405 with Allow: problem documents with the request’s id', async () => {
  running = await startApp();
  const none = await fetch(`${running.url}/nowhere`, { headers: { 'x-request-id': 'mine-1' } });
  expect(none.status).toBe(404);
  expect(none.headers.get('content-type')).toBe('application/problem+json');
  expect(none.headers.get('x-request-id')).toBe('mine-1');
  expect(await none.json()).toEqual({
    type: 'urn:shardsieve:problem:not-found',
    title: 'There is nothing here',
    status: 404,
    detail: 'no route /nowhere',
    request_id: 'mine-1',
  });
  const post = await fetch(`${running.url}/healthz`, { method: 'POST' });
  expect(post.status).toBe(405);
  expect(post.headers.get('allow')).toBe('GET, HEAD');
  const { request_id } = (await post.json()) as { request_id: string };
  expect(post.headers.get('x-request-id')).toBe(request_id);
  const hostile = await fetch(`${running.url}/healthz`, { headers: { 'x-request-id': '<script>' } });
  expect(hostile.headers.get('x-request-id')).toMatch(/^[\w-]{36}$/);
});

test('keys: none, a wrong one, a revoked one, one for something else, and the right one', async () => {
  const [good, revoked, other] = ['good', 'revoked', 'other'].map((name) =>
    newKey(name, '2026-11-25T00:00:00Z'),
  );
  const records = [
    good.record,
    { ...revoked.record, revoked: '2026-11-25T01:00:00Z' },
    { ...other.record, scopes: ['score' as const] },
  ];
  const file = JSON.stringify({ keys: records });
  for (const { key } of [good, revoked, other]) expect(file).not.toContain(key.slice(4));
  running = await startApp({ keys: keyStore(() => parseKeys(file, 'keys.json')) });
  const { url, logged } = running;
  const ask = (authorization?: string) =>
    fetch(`${url}/metrics`, authorization === undefined ? {} : { headers: { authorization } });
  const without = await ask();
  expect([without.status, without.headers.get('www-authenticate')]).toEqual([
    401,
    'Bearer realm="shardsieve"',
  ]);
  for (const wrong of [
    'Basic YTpi',
    'Bearer',
    `Bearer ${good.key}x`,
    `Bearer ssk_${'A'.repeat(43)}`,
    `Bearer ${revoked.key}`,
  ]) {
    expect([wrong, (await ask(wrong)).status]).toEqual([wrong, 401]);
  }
  expect((await ask(`Bearer ${other.key}`)).status).toBe(403);
  expect((await ask(`Bearer ${good.key}`)).status).toBe(200);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  expect(logged.find(({ status, route }) => status === 200 && route === '/metrics')).toMatchObject({
    key: 'good',
  });
  expect(JSON.stringify(logged)).not.toContain('ssk_');
});

test('a key file that is none is refused with what is wrong in it', () => {
  expect(() => parseKeys('{', 'k.json')).toThrow(/no JSON/);
  expect(() => parseKeys('{"keys":[{"name":"a","sha256":"ssk_123"}]}', 'k.json')).toThrow(/keys\.0\.sha256/);
  const { record } = newKey('a', '');
  expect(() => parseKeys(JSON.stringify({ keys: [record, record] }), 'k.json')).toThrow(
    /two keys are called a/,
  );
  expect(() => newKey('a key', '')).toThrow(/name/);
});

test('a rate limit a key: the burst, then 429 with the seconds to wait, and others go on', async () => {
  let now = 0;
  const [a, b] = ['a', 'b'].map((name) => newKey(name, ''));
  running = await startApp({
    keys: keyStore(() => [a.record, b.record]),
    rateLimit: tokenBuckets({ perMinute: 6, burst: 2, now: () => now }),
  });
  const ask = async (key: string) => {
    const answer = await fetch(`${running!.url}/metrics`, { headers: { authorization: `Bearer ${key}` } });
    return [answer.status, answer.headers.get('retry-after')];
  };
  expect([await ask(a.key), await ask(a.key), await ask(a.key)]).toEqual([
    [200, null],
    [200, null],
    [429, '10'],
  ]);
  expect(await ask(b.key)).toEqual([200, null]);
  now += 9_000;
  expect(await ask(a.key)).toEqual([429, '1']);
  now += 1_000;
  expect(await ask(a.key)).toEqual([200, null]);
});

test('headers that browsers heed are on every answer; other pages are let in only where they are named', async () => {
  running = await startApp();
  for (const path of ['/healthz', '/nowhere']) {
    const { headers } = await fetch(`${running.url}${path}`, { headers: { origin: 'https://a.example' } });
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('content-security-policy')).not.toContain('unsafe');
    expect(headers.get('access-control-allow-origin')).toBeNull();
  }
  await running.close();
  running = await startApp({ cors: ['https://a.example'] });
  const preflight = await fetch(`${running.url}/metrics`, {
    method: 'OPTIONS',
    headers: { origin: 'https://a.example', 'access-control-request-method': 'GET' },
  });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-origin')).toBe('https://a.example');
  expect(preflight.headers.get('access-control-allow-methods')).toBe('GET,POST,PUT');
  const mine = await fetch(`${running.url}/healthz`, { headers: { origin: 'https://a.example' } });
  expect(mine.headers.get('access-control-expose-headers')).toBe('x-request-id,retry-after,location');
  const other = await fetch(`${running.url}/healthz`, { headers: { origin: 'https://b.example' } });
  expect(other.headers.get('access-control-allow-origin')).toBeNull();
});

test('metrics are Prometheus’ text: routes as they were declared, statuses, times', async () => {
  running = await startApp();
  await fetch(`${running.url}/healthz`);
  await fetch(`${running.url}/made-up-"path`);
  const answer = await fetch(`${running.url}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  const text = await answer.text();
  expect(text).toContain('shardsieve_requests_total{route="/healthz",method="GET",status="200"} 1');
  expect(text).toContain('shardsieve_requests_total{route="none",method="GET",status="404"} 1');
  expect(text).toContain('# TYPE shardsieve_request_seconds histogram');
  expect(text).toContain('shardsieve_request_seconds_bucket{route="/healthz",le="+Inf"} 1');
  expect(text).toContain('shardsieve_in_flight 1');
  expect(text).not.toContain('made-up');
});

test('pictures and captions are counted once they are answered, those of shards too', async () => {
  running = await startApp();
  const base64 = Buffer.from(await picture(1, 'png')).toString('base64');
  const score = async (captions: string[]) => {
    const body = JSON.stringify({ items: [{ image: { base64 }, captions }] });
    const headers = { 'content-type': 'application/json' };
    return (await fetch(`${running!.url}/v1/score`, { method: 'POST', headers, body })).status;
  };
  const counted = async () => {
    const text = await (await fetch(`${running!.url}/metrics`)).text();
    return ['images', 'captions'].map((what) =>
      Number(new RegExp(`^shardsieve_${what}_total\\{model="fake"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0),
    );
  };
  expect(await score(new Array(257).fill('a'))).toBe(422);
  expect(await counted()).toEqual([0, 0]);
  expect(await score(['a', 'b'])).toBe(200);
  expect(await counted()).toEqual([1, 2]);
  const shard = await readFile(join(import.meta.dirname, '../../demo/shards/demo-00000.tar'));
  const lines = await (await fetch(`${running.url}/v1/shards`, { method: 'POST', body: shard })).text();
  const { scored } = JSON.parse(lines.trimEnd().split('\n').at(-1)!) as EndLine;
  expect(scored).toBeGreaterThan(0);
  expect(await counted()).toEqual([1 + scored, 2 + scored]);
});
