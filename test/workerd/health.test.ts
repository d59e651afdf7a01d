import { afterAll, beforeAll, expect, test } from 'vitest';
import { VERSION } from '../../src/version.ts';
import { type RunningWorker, startWorker } from './start.ts';

let worker: RunningWorker;
beforeAll(async () => {
  worker = await startWorker('wrangler.demo.toml');
});
afterAll(async () => {
  await worker?.dispose();
});

test('the front Worker starts in workerd and says that it is alive', async () => {
  const response = await worker.fetch('/healthz');
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ status: 'ok', version: VERSION });
});

test('an unknown route is a problem document, not a page', async () => {
  const response = await worker.fetch('/nowhere');
  expect(response.status).toBe(404);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(await response.json()).toMatchObject({ status: 404, detail: 'no route /nowhere' });
});
