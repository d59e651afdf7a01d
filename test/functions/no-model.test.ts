/** A server whose models are still loading, or could not be found: whoever asks is told to come back. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { modelsAt } from '../../cli/endpoint/models.ts';
import type { JobPlace } from '../../functions/jobs/consumer.ts';
import { createJobs } from '../../functions/jobs/create.ts';
import type { JobEngine } from '../../functions/jobs/engine.ts';
import { ModelError } from '../../src/errors.ts';
import { type Running, startApp } from './serve.ts';

let app: Running;
beforeAll(async () => {
  app = await startApp({ models: [] });
});
afterAll(() => app.close());

test.each([
  ['/v1/shards', 'application/x-tar', 'no matter'],
  ['/v1/shards?model=demo', 'application/x-tar', 'no matter'],
  ['/v1/embed', 'application/json', '{"captions": ["a cat"]}'],
  ['/v1/embed', 'application/json', '{"captions": ["a cat"], "model": "demo"}'],
])('%s with %s is answered 503', async (path, type, body) => {
  const answer = await fetch(`${app.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
  });
  expect(await answer.json()).toMatchObject({
    type: 'urn:shardsieve:problem:unavailable',
    detail: 'no model is loaded yet',
  });
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
});

test('a job is not made', async () => {
  const engine: Partial<JobEngine> = { models: [] };
  const place: Partial<JobPlace> = { engine: engine as JobEngine };
  const { create } = createJobs(place as JobPlace);
  const asked = { out: 'metadata', prefix: 'pool/', embeddings: false, safety: [] };
  const request = { ...asked, caption: 'txt', uid: 'json', carry: [] };
  for (const more of [{}, { model: 'demo' }]) {
    await expect(create({ ...request, ...more })).rejects.toMatchObject({
      kind: 'unavailable',
      headers: { 'retry-after': '1' },
    });
  }
});

test('score --endpoint says so', async () => {
  for (const choice of [{}, { models: ['demo'] }]) {
    const refusal = await modelsAt(app.url, choice).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ModelError);
    expect(String(refusal)).toMatch(/the server has no model ready .*Try again/);
  }
});
