/** The OpenAPI document and the page made of it. */
import { afterEach, expect, test } from 'vitest';
import { keyStore } from '../../functions/app/keys.ts';
import type { OpenApiDocument } from '../../functions/app/openapi.ts';
import type { ScoreAnswer } from '../../functions/app/schemas.ts';
import { type Running, startApp } from './serve.ts';

let running: Running | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

test('the document names every route, its schemas resolve, and keys are asked for where they are needed', async () => {
  running = await startApp({ keys: keyStore(() => []) });
  const document = (await (await fetch(`${running.url}/openapi.json`)).json()) as OpenApiDocument;
  expect(document.openapi).toMatch(/^3\.1\./);
  for (const path of ['/v1/score', '/v1/embed', '/v1/classify', '/v1/safety', '/v1/models']) {
    const [operation] = Object.values(document.paths[path]);
    expect([path, operation.security]).toEqual([path, [{ key: [] }]]);
    expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['200', '401', '429', '500']));
  }
  expect(document.paths['/healthz']['get'].security).toBeUndefined();
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
    ([, name]) => name,
  );
  expect(refs.length).toBeGreaterThan(10);
  for (const name of refs) expect(document.components.schemas).toHaveProperty(name);
  // Every route answers, and none says a status that the document does not have.
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      const { status } = await fetch(`${running.url}${path}`, { method });
      expect([path, method, Object.keys(responses).includes(String(status)), status]).toEqual([
        path,
        method,
        true,
        status,
      ]);
    }
  }
});

test('the document’s own examples are answered, and its models are those that are served', async () => {
  running = await startApp();
  const document = (await (await fetch(`${running.url}/openapi.json`)).json()) as OpenApiDocument;
  const { Image, ScoreRequest } = document.components.schemas;
  expect(ScoreRequest['properties']).toMatchObject({ model: { type: 'string', enum: ['fake'] } });
  const [image] = Image['examples'] as object[];
  const answer = await fetch(`${running.url}/v1/score`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ items: [{ image, captions: ['a red circle'] }] }),
  });
  expect([answer.status, ((await answer.json()) as ScoreAnswer).items[0].image.width]).toEqual([200, 2]);
});

test('the page needs nothing from elsewhere, no script, and no exception from its policy', async () => {
  running = await startApp();
  const answer = await fetch(`${running.url}/docs`);
  expect(answer.headers.get('content-type')).toContain('text/html');
  const text = await answer.text();
  expect(text).toContain('/v1/classify');
  expect(text).not.toMatch(/<script|<style|style=|\son\w+=|https?:\/\//);
  const [, href] = /<link rel="stylesheet" href="([^"]+)"/.exec(text) ?? [];
  const style = await fetch(new URL(href, `${running.url}/docs`));
  expect([style.status, style.headers.get('content-type')]).toEqual([200, 'text/css; charset=utf-8']);
});
