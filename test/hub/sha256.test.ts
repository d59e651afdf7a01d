import { existsSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pullHead } from '../../cli/heads/import.ts';
import { downloadFile, fileSha256 } from '../../cli/hub/download.ts';
import { KNOWN_HEADS } from '../../src/safety/heads/known.ts';
import { FakeHub, noise, sha256, temporaryFolder } from './fake-hub.ts';

const WEIGHTS = 'open_clip_model.safetensors';
const weights = noise(5000);

let hub: FakeHub;
let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  hub = new FakeHub();
  hub.add(WEIGHTS, weights);
  hub.add('small.json', '{}', false);
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const request = (env: Record<string, string> = {}) => ({
  repo: 'org/name',
  file: WEIGHTS,
  env: { HF_HUB_CACHE: folder.path, ...env },
  fetch: (url: string, init: RequestInit) => hub.handle(new Request(url, init)),
  sleep: async () => undefined,
});

test('the hash of a large file is asked for, not downloaded; a small file has none', async () => {
  expect(await fileSha256(request())).toBe(sha256(weights));
  expect(hub.urls('GET')).toEqual([]);
  expect(await fileSha256({ ...request(), file: 'small.json' })).toBeUndefined();
  expect(await fileSha256({ ...request(), file: 'gone' })).toBeUndefined();
});

test('offline it is known where the file is here, and nobody is asked', async () => {
  const offline = { HF_HUB_OFFLINE: '1' };
  expect(await fileSha256(request(offline))).toBeUndefined();
  await downloadFile(request());
  const before = hub.seen.length;
  expect(await fileSha256(request(offline))).toBe(sha256(weights));
  expect(hub.seen.length).toBe(before);
});

/** LAION's own files, which are not part of the project; see test/fixtures/heads/README.md. */
const ZIPS = new URL('../../../shared/data/laion-nsfw/', import.meta.url);

describe.skipIf(!existsSync(ZIPS))('pulling LAION’s heads (skipped: ../shared/data is not there)', () => {
  test.each(KNOWN_HEADS.map((known) => [known.alias, known] as const))(
    '%s is bound to the weights that the hub has',
    async (_, known) => {
      [hub.repo] = known.info.space.models;
      const { repo: __, file: ___, ...options } = request();
      const head = await pullHead(known, {
        ...options,
        fetch: async (url, init) =>
          url === known.url
            ? new Response(readFileSync(new URL(known.file, ZIPS)))
            : options.fetch(url, init),
      });
      expect(head.info.space.weights_sha256).toEqual([sha256(weights)]);
      expect(hub.urls('GET')).toEqual([]);
    },
  );
});
