/** Streams of shards that meet what is full, what leaves and what does not read. */
import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { expect, test } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { createApp } from '../../functions/app/app.ts';
import { DEFAULT_LIMITS } from '../../functions/app/limits.ts';
import { createMetrics } from '../../functions/app/metrics.ts';
import { patient } from '../../functions/app/patient.ts';
import type { ServedModel } from '../../functions/app/service.ts';
import { TowersReplaced } from '../../functions/towers/client.ts';
import { BusyError, CancelledError } from '../../src/errors.ts';
import { endlessTar } from './endless.ts';
import { fakeModel, startApp } from './serve.ts';

const tar = new Uint8Array(await readFile('demo/shards/demo-00001.tar'));
const limits = { ...DEFAULT_LIMITS, shardStreams: 1 };

/** A model whose pictures are embedded for as long as nobody stops it, but for the first `free` batches. */
function endlessModel(free: number): ServedModel {
  let calls = 0;
  return fakeModel({
    embedPictures: async (pictures, signal) => {
      if (++calls > free) {
        await new Promise<void>((_, reject) => {
          if (signal?.aborted) reject(new CancelledError());
          signal?.addEventListener('abort', () => reject(new CancelledError()), { once: true });
        });
      }
      return new Float32Array(pictures.length * 4);
    },
  });
}

test('a client that leaves while a line is made frees one place, not two', async () => {
  const app = createApp({
    ...{ models: [endlessModel(1)], decoder: createDecoder(), limits, keys: 'open' as const },
    ...{ ready: async () => {}, metrics: createMetrics(), log: () => {} },
  });
  const put = async () => app.request('/v1/shards', { method: 'PUT', body: tar });
  const first = await put();
  expect(first.status).toBe(200);
  const reader = first.body?.getReader();
  for (let line = 0; line < 16; line++) await reader?.read();
  const waited = reader?.read();
  await new Promise((go) => setTimeout(go, 20));
  await reader?.cancel();
  await waited;
  // What asked to be read now never answers, and holds the one place that there is.
  const holding = put().catch(() => undefined);
  await new Promise((go) => setTimeout(go, 20));
  const late = new Promise<'was taken'>((go) => setTimeout(() => go('was taken'), 2000));
  const second = await Promise.race([put(), late]);
  expect(second === 'was taken' ? second : second.status).toBe(503);
  void holding;
});

test('a client that does not read loses its place, and the answer breaks off', async () => {
  const app = await startApp({ limits: { ...limits, bodyMs: 400 } });
  const sent = request(`${app.url}/v1/shards?captions=true`, { method: 'POST' });
  sent.on('error', () => {});
  const gone = new Promise((resolve) => sent.once('close', resolve));
  const answered = new Promise<IncomingMessage>((resolve) => sent.once('response', resolve));
  sent.setMaxListeners(0);
  const upload = (async () => {
    for await (const bytes of endlessTar(tar)) {
      if (sent.destroyed) return;
      if (sent.write(bytes)) continue;
      await new Promise<void>((resolve) => sent.once('drain', resolve).once('close', resolve));
    }
  })();
  const answer = await answered;
  answer.on('error', () => {});
  answer.pause();
  await gone;
  await upload;
  const again = await fetch(`${app.url}/v1/shards`, { method: 'PUT', body: tar });
  expect(again.status).toBe(200);
  await again.text();
  await app.close();
});

test('a shard waits where the batches are full, and is scored to its end', async () => {
  let calls = 0;
  const model = fakeModel({
    embedPictures: async (pictures) => {
      if (++calls % 2 === 0) throw new BusyError('512 inputs wait already', 0.01);
      return new Float32Array(pictures.length * 4);
    },
  });
  const app = await startApp({ models: [model], limits });
  const answer = await fetch(`${app.url}/v1/shards`, { method: 'PUT', body: tar });
  const end = JSON.parse((await answer.text()).trimEnd().split('\n').at(-1) ?? '');
  expect(end).toMatchObject({ kind: 'end', complete: true });
  expect(calls).toBeGreaterThan(4);
  await app.close();
});

test('waiting has an end, and stops on the signal', async () => {
  let calls = 0;
  const { clip } = fakeModel({
    embedTexts: async () => {
      calls++;
      throw new BusyError('full', 0.01);
    },
    embedPictures: async () => {
      throw new BusyError('full', 1000);
    },
  });
  await expect(patient(clip, 50).embedTexts([Int32Array.of(1)])).rejects.toBeInstanceOf(BusyError);
  expect(calls).toBeGreaterThan(1);
  const leaving = new AbortController();
  const waits = patient(clip).embedPictures([], leaving.signal);
  setTimeout(() => leaving.abort(), 10);
  await expect(waits).rejects.toBeInstanceOf(CancelledError);
  await expect(patient(clip).embedPictures([], leaving.signal)).rejects.toBeInstanceOf(CancelledError);
});

test('towers that are gone for good are not waited for', async () => {
  let calls = 0;
  const { clip } = fakeModel({
    embedTexts: async () => {
      calls++;
      throw new TowersReplaced();
    },
  });
  await expect(patient(clip).embedTexts([Int32Array.of(1)])).rejects.toBeInstanceOf(TowersReplaced);
  expect(calls).toBe(1);
});
