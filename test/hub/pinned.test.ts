import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { http } from 'msw';
import { setupServer } from 'msw/node';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { downloadPinned, type PinnedOptions } from '../../cli/hub/pinned.ts';
import { FULL_MODEL, findLidModel } from '../../cli/language/models.ts';
import { DownloadError } from '../../src/errors.ts';
import { cutAfter, noise, ranged, sha256, temporaryFolder } from './fake-hub.ts';

const URL_OF_FILE = 'https://files.example.org/models/lid.bin';
const bytes = noise(40_000);
const FILE = { name: 'lid.bin', url: URL_OF_FILE, sha256: sha256(bytes) };

let folder: ReturnType<typeof temporaryFolder>;
let seen: Request[];
let answers: ((request: Request) => Response | Promise<Response>)[];

const server = setupServer(
  http.all('*', ({ request }) => {
    seen.push(request);
    return (answers.shift() ?? ((asked) => ranged(bytes, asked)))(request);
  }),
);
beforeAll(() => server.listen());
afterAll(() => server.close());
beforeEach(() => {
  folder = temporaryFolder();
  seen = [];
  answers = [];
});
afterEach(() => folder.remove());

const blobs = () => join(folder.path, 'shardsieve/files/blobs');
const options = (env: Record<string, string> = {}): PinnedOptions => ({
  fetch: globalThis.fetch,
  sleep: async () => {},
  env: { XDG_CACHE_HOME: folder.path, HF_TOKEN: 'hf_secret', ...env },
});

test('downloaded once, kept under its hash, then never asked for again', async () => {
  const first = await downloadPinned(FILE, options());
  expect(first).toEqual({ path: join(blobs(), FILE.sha256), fromCache: false });
  expect(new Uint8Array(readFileSync(first.path))).toEqual(bytes);
  expect(readdirSync(blobs())).toEqual([FILE.sha256]);
  expect(await downloadPinned(FILE, options())).toEqual({ ...first, fromCache: true });
  expect(seen.map(({ method, url }) => [method, url])).toEqual([['GET', URL_OF_FILE]]);
  expect(seen[0].headers.get('authorization')).toBeNull();
});

test('a connection that breaks is resumed where it broke', async () => {
  answers.push(() => cutAfter(bytes, 15_000));
  const { path } = await downloadPinned(FILE, options());
  expect(new Uint8Array(readFileSync(path))).toEqual(bytes);
  expect(seen.map(({ headers }) => headers.get('range'))).toEqual([null, 'bytes=15000-']);
});

test('what an earlier run left is gone on with', async () => {
  mkdirSync(blobs(), { recursive: true });
  writeFileSync(join(blobs(), `${FILE.sha256}.shardsieve.incomplete`), bytes.subarray(0, 20_000));
  await downloadPinned(FILE, options());
  expect(seen.map(({ headers }) => headers.get('range'))).toEqual(['bytes=20000-']);
});

test('other bytes than the hash says are refused and not kept', async () => {
  const wrong = { ...FILE, sha256: sha256(noise(10)) };
  const failed = downloadPinned(wrong, options());
  await expect(failed).rejects.toThrow(DownloadError);
  await expect(failed).rejects.toThrow(`it should be ${wrong.sha256}`);
  expect(readdirSync(blobs())).toEqual([]);
});

test('a refusal names the file and the address', async () => {
  answers.push(() => new Response('gone', { status: 404 }));
  await expect(downloadPinned(FILE, options())).rejects.toThrow(
    /the server of lid\.bin answered 404.*files\.example\.org/,
  );
});

test('offline, it says where to put the file; there, it is found', async () => {
  const offline = options({ HF_HUB_OFFLINE: '1' });
  await expect(downloadPinned(FILE, offline)).rejects.toThrow(join(blobs(), FILE.sha256));
  mkdirSync(blobs(), { recursive: true });
  writeFileSync(join(blobs(), FILE.sha256), bytes);
  expect((await downloadPinned(FILE, offline)).fromCache).toBe(true);
  expect(seen).toEqual([]);
});

test('--lid full asks for lid.176.bin and takes nothing else for it', async () => {
  const failed = findLidModel('full', options());
  await expect(failed).rejects.toThrow(FULL_MODEL.sha256);
  expect(new Set(seen.map(({ url }) => url))).toEqual(new Set([FULL_MODEL.url]));
  expect(existsSync(join(blobs(), FULL_MODEL.sha256))).toBe(false);
});
