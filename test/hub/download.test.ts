import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { http } from 'msw';
import { setupServer } from 'msw/node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { downloadFile, type FileRequest } from '../../cli/hub/download.ts';
import type { HubFetch } from '../../cli/hub/request.ts';
import { CancelledError, DownloadError, OutputError, UsageError } from '../../src/errors.ts';
import {
  COMMIT,
  cutAfter,
  FakeHub,
  gitOid,
  noise,
  ranged,
  refuse,
  STORE,
  sha256,
  silentAfter,
  temporaryFolder,
} from './fake-hub.ts';

const HUB = 'https://huggingface.co';
const WEIGHTS = 'open_clip_model.safetensors';
const bytes = noise(50_000);

let hub: FakeHub;
let folder: ReturnType<typeof temporaryFolder>;
let notes: string[];
let waits: number[];

const server = setupServer(http.all('*', ({ request }) => hub.handle(request)));
beforeAll(() => server.listen());
afterAll(() => server.close());

beforeEach(() => {
  hub = new FakeHub();
  hub.add(WEIGHTS, bytes);
  hub.add('open_clip_config.json', '{"model_cfg":{}}', false);
  folder = temporaryFolder();
  notes = [];
  waits = [];
});
afterEach(() => folder.remove());

function get(over: Partial<FileRequest> & { env?: Record<string, string> } = {}) {
  return downloadFile({
    repo: 'org/name',
    file: WEIGHTS,
    fetch: globalThis.fetch,
    onNote: (note) => notes.push(note),
    sleep: async (ms) => {
      waits.push(ms);
    },
    ...over,
    env: { HF_HUB_CACHE: folder.path, ...over.env },
  });
}

const repoFolder = () => join(folder.path, 'models--org--name');
const blobs = () => (existsSync(join(repoFolder(), 'blobs')) ? readdirSync(join(repoFolder(), 'blobs')) : []);
const PARKED = `${sha256(bytes)}.shardsieve.incomplete`;

function park(content: Uint8Array, name = PARKED) {
  mkdirSync(join(repoFolder(), 'blobs'), { recursive: true });
  writeFileSync(join(repoFolder(), 'blobs', name), content);
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => {
      throw new Error('expected a failure');
    },
    (error: Error) => error,
  );
}

describe('a download', () => {
  test('follows the redirect to the store and leaves the layout that Python reads', async () => {
    const progress: [number, number | undefined][] = [];
    const got = await get({ onProgress: ({ received, total }) => progress.push([received, total]) });
    expect(got).toEqual({
      path: join(repoFolder(), 'snapshots', COMMIT, WEIGHTS),
      commit: COMMIT,
      size: bytes.length,
      fromCache: false,
    });
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    expect(readdirSync(repoFolder(), { recursive: true }).sort()).toEqual([
      'blobs',
      `blobs/${sha256(bytes)}`,
      'refs',
      'refs/main',
      'snapshots',
      `snapshots/${COMMIT}`,
      `snapshots/${COMMIT}/${WEIGHTS}`,
    ]);
    expect(readFileSync(join(repoFolder(), 'refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(progress[0]).toEqual([0, bytes.length]);
    expect(progress.at(-1)).toEqual([bytes.length, bytes.length]);
    // The bytes are asked for at the commit: the branch may move between the two requests.
    expect(hub.urls('GET')[0]).toBe(`${HUB}/org/name/resolve/${COMMIT}/${WEIGHTS}`);
  });

  test('names a small file by its git object name and checks it', async () => {
    const config = hub.files.get('open_clip_config.json')!.bytes;
    const got = await get({ file: 'open_clip_config.json' });
    expect(readFileSync(got.path, 'utf8')).toBe('{"model_cfg":{}}');
    expect(blobs()).toEqual([gitOid(config)]);
    hub.files.set('open_clip_config.json', { bytes: noise(16, 9), large: false });
    hub.next('HEAD', () => headWith({ etag: `"${'a'.repeat(40)}"`, 'content-length': '16' }));
    const error = await failure(
      get({ file: 'open_clip_config.json', revision: 'v1', env: { HF_HUB_CACHE: `${folder.path}/b` } }),
    );
    expect(error.message).toContain(gitOid(noise(16, 9)));
    expect(error.message).toContain('a'.repeat(40));
  });

  test('sends the token to the hub and never to the store', async () => {
    await get({ env: { HF_TOKEN: 'hf_secret' } });
    for (const { url, authorization } of hub.seen) {
      expect(authorization).toBe(url.startsWith(HUB) ? 'Bearer hf_secret' : null);
    }
    expect(hub.seen.some(({ url }) => url.startsWith(STORE))).toBe(true);
  });

  test('takes the token from the file of the login, and none where implicit tokens are off', async () => {
    writeFileSync(join(folder.path, 'my-token'), 'hf_from_file\n');
    const env = { HF_TOKEN_PATH: join(folder.path, 'my-token') };
    await get({ env });
    expect(hub.seen[0].authorization).toBe('Bearer hf_from_file');
    await get({ env: { ...env, HF_TOKEN: 'hf_other', HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' } });
    expect(hub.seen.at(-1)?.authorization).toBeNull();
    await get({ env: { HF_HOME: folder.path, HF_TOKEN: 'hf_first' } });
    expect(hub.seen.at(-1)?.authorization).toBe('Bearer hf_first');
  });

  test('asks a mirror, its path included, and gives it alone the token', async () => {
    await get({ env: { HF_ENDPOINT: 'https://mirror.example/api/hf/', HF_TOKEN: 'hf_t' } });
    expect(hub.urls('HEAD')).toEqual([`https://mirror.example/api/hf/org/name/resolve/main/${WEIGHTS}`]);
    expect(hub.seen[0].authorization).toBe('Bearer hf_t');
  });

  test('follows a mirror that only redirects to the hub, without the token', async () => {
    hub.next('HEAD', () => redirect(`${HUB}/org/name/resolve/main/${WEIGHTS}`));
    await get({ env: { HF_ENDPOINT: 'https://mirror.example', HF_TOKEN: 'hf_t' } });
    expect(hub.seen.map(({ authorization }) => authorization)).toEqual([
      'Bearer hf_t',
      null,
      'Bearer hf_t',
      null,
    ]);
  });

  test('follows a renamed repository on the same host', async () => {
    hub.next('HEAD', () => redirect(`/org/name/resolve/main/${WEIGHTS}`));
    await get({ repo: 'old/name', env: { HF_TOKEN: 'hf_t' } }).catch(() => undefined);
    expect(hub.seen[1]).toMatchObject({
      url: `${HUB}/org/name/resolve/main/${WEIGHTS}`,
      authorization: 'Bearer hf_t',
    });
  });

  test('writes a slash of the revision into the address as part of it, and the ref under its own path', async () => {
    await get({ revision: 'refs/pr/1' });
    expect(hub.urls('HEAD')[0]).toContain('/resolve/refs%2Fpr%2F1/');
    expect(readFileSync(join(repoFolder(), 'refs', 'refs', 'pr', '1'), 'utf8')).toBe(COMMIT);
  });
});

function headWith(headers: Record<string, string>): Response {
  return new Response(null, { headers: { 'x-repo-commit': COMMIT, ...headers } });
}

function redirect(location: string): Response {
  return new Response(null, { status: 307, headers: { location } });
}

describe('the cache', () => {
  test('a commit that is here needs no request', async () => {
    await get();
    hub.seen.length = 0;
    const got = await get({ revision: COMMIT });
    expect(got.fromCache).toBe(true);
    expect(hub.seen).toEqual([]);
  });

  test('a branch that still is the same commit needs one', async () => {
    await get();
    hub.seen.length = 0;
    expect((await get()).fromCache).toBe(true);
    expect(hub.seen.map(({ method }) => method)).toEqual(['HEAD']);
  });

  test('a new commit with the same bytes is linked, not downloaded', async () => {
    await get();
    hub.seen.length = 0;
    hub.commit = 'f'.repeat(40);
    const got = await get();
    expect(got.path).toContain('f'.repeat(40));
    expect(got.fromCache).toBe(true);
    expect(hub.urls('GET')).toEqual([]);
    expect(readFileSync(join(repoFolder(), 'refs', 'main'), 'utf8')).toBe('f'.repeat(40));
  });

  test('a blob of the wrong size is downloaded again', async () => {
    const { path } = await get();
    writeFileSync(path, bytes.subarray(0, 10));
    const got = await get();
    expect(got.fromCache).toBe(false);
    expect(readFileSync(path)).toEqual(Buffer.from(bytes));
  });

  test('that there is no such file is remembered for the commit', async () => {
    await expect(get({ file: 'nothing.bin' })).rejects.toThrow('has no file nothing.bin at revision main');
    expect(existsSync(join(repoFolder(), '.no_exist', COMMIT, 'nothing.bin'))).toBe(true);
    hub.seen.length = 0;
    await expect(get({ file: 'nothing.bin', revision: COMMIT })).rejects.toThrow(DownloadError);
    expect(hub.seen).toEqual([]);
  });

  test.each(['1', 'on', 'YES', 'true'])('HF_HUB_OFFLINE=%s makes no request', async (value) => {
    const env = { HF_HUB_OFFLINE: value };
    const error = await failure(get({ env }));
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toMatch(/not in the cache and HF_HUB_OFFLINE is set.*models pull hf-hub:org\/name/);
    expect(hub.seen).toEqual([]);
    await get();
    hub.seen.length = 0;
    expect(readFileSync((await get({ env })).path)).toEqual(Buffer.from(bytes));
    expect(hub.seen).toEqual([]);
  });

  test.each([
    ['the network is down', () => Response.error()],
    ['the hub is', () => refuse(503, '')],
    ['a proxy answers in its place', () => new Response('<html>', { headers: { 'x-a': 'b' } })],
    ['the token has expired', () => refuse(401, 'RepoNotFound')],
  ])('a cached copy is used, and said, when %s', async (_, answer) => {
    await get();
    for (let i = 0; i < 10; i++) hub.next('HEAD', answer);
    const got = await get();
    expect(got.fromCache).toBe(true);
    expect(notes.at(-1)).toContain(`using the cached copy of ${WEIGHTS} at commit ${COMMIT}`);
  });

  test('a cached copy is not used when the hub says that the file is gone', async () => {
    await get();
    hub.files.delete(WEIGHTS);
    await expect(get()).rejects.toThrow(/has no file/);
  });

  test('where links cannot be made the file itself lies in the snapshot', async () => {
    const env = { HF_HUB_DISABLE_SYMLINKS: '1' };
    const got = await get({ env });
    expect(blobs()).toEqual([]);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    hub.seen.length = 0;
    expect((await get({ env })).fromCache).toBe(true);
    expect(hub.urls('GET')).toEqual([]);
  });

  test('a cache that cannot be made is an output error', async () => {
    writeFileSync(join(folder.path, 'file'), '');
    await expect(get({ env: { HF_HUB_CACHE: join(folder.path, 'file', 'hub') } })).rejects.toThrow(
      OutputError,
    );
  });
});

describe('resuming', () => {
  test('goes on after a cut connection, from the byte where it broke', async () => {
    const store = hub.store;
    hub.store = undefined;
    hub.next('GET', () => cutAfter(bytes, 20_000));
    const got = await get();
    expect(hub.seen.map(({ range }) => range)).toEqual([null, null, 'bytes=20000-']);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    expect(blobs()).toEqual([sha256(bytes)]);
    expect(store).toBe(STORE);
  });

  test('goes on from what an earlier run left', async () => {
    park(bytes.subarray(0, 12_345));
    const progress: number[] = [];
    const got = await get({ onProgress: ({ received }) => progress.push(received) });
    expect(hub.seen.at(-1)?.range).toBe('bytes=12345-');
    expect(progress[0]).toBe(12_345);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    expect(blobs()).toEqual([sha256(bytes)]);
  });

  test('takes a copy of what Python left, and leaves the original to it', async () => {
    park(bytes.subarray(0, 777), `${sha256(bytes)}.incomplete`);
    await get();
    expect(hub.seen.at(-1)?.range).toBe('bytes=777-');
    expect(blobs()).toContain(`${sha256(bytes)}.incomplete`);
  });

  test('needs only the check when everything is there', async () => {
    park(bytes);
    const got = await get();
    expect(hub.urls('GET')).toEqual([]);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('ignores a partial file that is longer than the file', async () => {
    park(noise(60_000, 3));
    const got = await get();
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('starts again when the server sends the whole instead of the range', async () => {
    park(noise(1000, 7));
    hub.store = undefined;
    hub.next('GET', () => new Response(new Uint8Array(bytes)));
    const got = await get();
    expect(hub.urls('GET')).toHaveLength(1);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test.each([
    ['starts elsewhere', { 'content-range': `bytes 0-${bytes.length - 1}/${bytes.length}` }],
    ['is of a file of another length', { 'content-range': `bytes 1000-${bytes.length - 1}/99999` }],
    ['is not named', {}],
    ['is not bytes', { 'content-range': 'items 1-2/3' }],
  ])('asks for the whole when the range in the answer %s', async (_, headers) => {
    park(bytes.subarray(0, 1000));
    hub.store = undefined;
    hub.next('GET', () => new Response(new Uint8Array(bytes.subarray(1000)), { status: 206, headers }));
    const got = await get();
    expect(hub.seen.at(-1)?.range).toBeNull();
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('asks for the whole after 416', async () => {
    park(bytes.subarray(0, 1000));
    hub.next('GET', () => new Response(null, { status: 416, headers: { 'content-range': 'bytes */10' } }));
    const got = await get();
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    expect(waits).toEqual([0]);
  });

  test('goes on when an answer without a length ends early as if it were whole', async () => {
    hub.store = undefined;
    hub.next('GET', () => new Response(new Blob([bytes.slice(0, 9000)]).stream()));
    const got = await get();
    expect(notes).toEqual([expect.stringContaining(`ended after 9000 of ${bytes.length} bytes`)]);
    expect(hub.seen.at(-1)?.range).toBe('bytes=9000-');
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('asks the hub for a new address when the signed one has expired', async () => {
    park(bytes.subarray(0, 1000));
    hub.next('GET', () => undefined);
    hub.next('GET', () => refuse(403, ''));
    const got = await get();
    expect(hub.urls('GET').map((url) => new URL(url).origin)).toEqual([HUB, STORE, HUB, STORE]);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('never pieces together what has no hash', async () => {
    const opaque = () => headWith({ etag: '"v7-opaque"', 'content-length': String(bytes.length) });
    hub.store = undefined;
    hub.next('HEAD', opaque);
    park(noise(1000, 7), 'v7-opaque.shardsieve.incomplete');
    hub.next('GET', () => cutAfter(bytes, 20_000));
    const got = await get();
    expect(hub.seen.map(({ range }) => range)).toEqual([null, null, null]);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('a silent connection is given up and continued', async () => {
    hub.store = undefined;
    hub.next('GET', () => silentAfter(bytes, 3000));
    const got = await get({ env: { HF_HUB_DOWNLOAD_TIMEOUT: '0.1' } });
    expect(notes).toEqual([expect.stringContaining('nothing came for 0.1 s')]);
    expect(hub.seen.at(-1)?.range).toBe('bytes=3000-');
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('keeps what came when it is cancelled, and says nothing of a cached copy', async () => {
    const controller = new AbortController();
    hub.store = undefined;
    hub.next('GET', () => silentAfter(bytes, 4000));
    const running = get({
      signal: controller.signal,
      onProgress: ({ received }) => received === 4000 && controller.abort(),
    });
    expect(await failure(running)).toBeInstanceOf(CancelledError);
    expect(blobs()).toEqual([PARKED]);
    expect(readdirSync(join(folder.path, '.locks', 'models--org--name'))).toEqual([]);
    await get();
    expect(hub.seen.at(-1)?.range).toBe('bytes=4000-');
  });

  test('stops during a wait, too', async () => {
    const controller = new AbortController();
    hub.next('HEAD', () => refuse(429, '', { 'retry-after': '200' }));
    const running = get({
      sleep: undefined,
      signal: controller.signal,
      onNote: () => setTimeout(() => controller.abort(), 10),
    });
    expect(await failure(running)).toBeInstanceOf(CancelledError);
  });
});

describe('wrong bytes', () => {
  test('a wrong hash is downloaded once more', async () => {
    hub.store = undefined;
    hub.next('GET', () => new Response(new Uint8Array(noise(bytes.length, 5))));
    const got = await get();
    expect(hub.urls('GET')).toHaveLength(2);
    expect(notes).toEqual([expect.stringMatching(/SHA-256 is .*; downloading .* again/)]);
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  });

  test('a wrong hash twice is an error that names both, and nothing stays', async () => {
    const wrong = noise(bytes.length, 5);
    hub.store = undefined;
    for (let i = 0; i < 2; i++) hub.next('GET', () => new Response(new Uint8Array(wrong)));
    const error = await failure(get());
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toContain(sha256(wrong));
    expect(error.message).toContain(sha256(bytes));
    expect(hub.urls('GET')).toHaveLength(2);
    expect(blobs()).toEqual([]);
    expect(existsSync(join(repoFolder(), 'snapshots'))).toBe(false);
    expect(existsSync(join(repoFolder(), 'refs'))).toBe(false);
  });

  test('a rotten beginning from an earlier run costs one more download', async () => {
    park(noise(1000, 7));
    const got = await get();
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    expect(hub.urls('GET').filter((url) => url.startsWith(STORE))).toHaveLength(2);
  });

  test('a server that announces another length is not believed', async () => {
    hub.store = undefined;
    const other = () => new Response(new Uint8Array(10), { headers: { 'content-length': '10' } });
    hub.next('GET', other);
    hub.next('GET', other);
    await expect(get()).rejects.toThrow(`the server sends 10 bytes of a file that has ${bytes.length}`);
  });

  test('more bytes than the file has are not written', async () => {
    hub.store = undefined;
    for (let i = 0; i < 2; i++) hub.next('GET', () => new Response(new Uint8Array(noise(60_000))));
    await expect(get()).rejects.toThrow(`more than ${bytes.length} bytes came`);
    expect(blobs()).toEqual([]);
  });
});

describe('trying again', () => {
  test('waits as long as Retry-After says, in seconds', async () => {
    hub.next('HEAD', () => refuse(429, '', { 'retry-after': '7' }));
    hub.next('GET', () => refuse(503, '', { 'retry-after': '3' }));
    await get();
    expect(waits).toEqual([7000, 3000]);
    expect(notes[0]).toBe('too many requests (429); trying again in 7.0 s');
  });

  test('waits as long as Retry-After says, as a date', async () => {
    const date = new Date(Date.now() + 60_000).toUTCString();
    hub.next('HEAD', () => refuse(429, '', { 'retry-after': date }));
    await get();
    expect(waits[0]).toBeGreaterThan(50_000);
    expect(waits[0]).toBeLessThanOrEqual(60_000);
  });

  test("waits for the end of the hub's window", async () => {
    hub.next('HEAD', () => refuse(429, '', { ratelimit: '"resolvers";r=0;t=55' }));
    await get();
    expect(waits).toEqual([55_000]);
  });

  test('does not wait for hours', async () => {
    hub.next('HEAD', () => refuse(429, '', { 'retry-after': '7200' }));
    await expect(get()).rejects.toThrow('The server asks to wait 120 minutes');
    expect(waits).toEqual([]);
  });

  test('backs off exponentially with jitter, and ends', async () => {
    for (let i = 0; i < 20; i++) hub.next('HEAD', () => refuse(500, ''));
    const error = await failure(get({ random: () => 0 }));
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toContain('the server answered 500 (tried 6 times)');
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000]);
    await expect(get({ random: () => 0.5 })).rejects.toThrow(DownloadError);
    expect(waits.slice(5)).toEqual([750, 1500, 3000, 6000, 12_000]);
  });

  test('500 and 502, then the file', async () => {
    hub.next('HEAD', () => refuse(500, ''));
    hub.next('GET', () => refuse(502, ''));
    expect((await get()).fromCache).toBe(false);
  });

  test('a connection that gives a little each time is followed to the end', async () => {
    hub.store = undefined;
    for (let at = 0; at < 10; at++) {
      hub.next('GET', (request) => {
        const from = Number(/\d+/.exec(request.headers.get('range') ?? '0')?.[0]);
        const headers = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
        return cutAfter(bytes.subarray(from), 4000, from === 0 ? 200 : 206, from === 0 ? {} : headers);
      });
    }
    const got = await get();
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    expect(hub.urls('GET')).toHaveLength(11);
  });

  test('a server that ignores ranges and cuts at the same place each time is given up', async () => {
    hub.store = undefined;
    for (let i = 0; i < 30; i++) hub.next('GET', () => cutAfter(bytes, 4000));
    const error = await failure(get());
    expect(error.message).toMatch(/tried 6 times|tried 7 times/);
    expect(error.message).toContain('4000 bytes are kept');
  });

  test('a certificate that is not trusted is not tried again', async () => {
    const cause = Object.assign(new Error('self-signed certificate'), {
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
    const fetch: HubFetch = async () => {
      throw new TypeError('fetch failed', { cause });
    };
    await expect(get({ fetch })).rejects.toThrow(/self-signed certificate.*NODE_EXTRA_CA_CERTS/);
    expect(waits).toEqual([]);
  });

  test('a hub that does not answer at all is a download error', async () => {
    const fetch: HubFetch = (_, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const error = await failure(get({ fetch, env: { HF_HUB_ETAG_TIMEOUT: '0.02' } }));
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toContain('no answer within 0.02 s (tried 6 times)');
  });
});

describe('what the hub refuses', () => {
  const cases: [string, Response, string | undefined, RegExp][] = [
    [
      'gated, no token',
      refuse(401, 'GatedRepo'),
      undefined,
      /org\/name is gated.*Accept its terms.*HF_TOKEN/,
    ],
    ['gated, with a token', refuse(403, 'GatedRepo'), 'hf_t', /is gated.*no access yet: ask for it at https/],
    ['no such repository', refuse(401, 'RepoNotFound'), undefined, /was not found.*private.*HF_TOKEN/],
    [
      'hidden from this token',
      refuse(404, 'RepoNotFound'),
      'hf_t',
      /was not found.*give your account access/,
    ],
    ['401 alone', refuse(401, ''), undefined, /was not found, or may not be seen \(401\)/],
    [
      'a bad token',
      refuse(401, '', { 'x-error-message': 'Invalid credentials in Authorization header' }),
      'hf_t',
      /does not know the token/,
    ],
    [
      'forbidden',
      refuse(403, '', { 'x-error-message': 'no\tread' }),
      'hf_t',
      /forbidden: no read.*permissions/,
    ],
    [
      'disabled',
      refuse(403, '', { 'x-error-message': 'Access to this resource is disabled.' }),
      'hf_t',
      /disabled/,
    ],
    ['no such revision', refuse(404, 'RevisionNotFound'), undefined, /has no revision main.*commits\/main/],
    ['no such file', refuse(404, 'EntryNotFound'), undefined, /has no file open_clip_model/],
    ['a mirror without it', refuse(404, ''), undefined, /has no .* here \(404\).*HF_ENDPOINT/],
    ['a teapot', refuse(418, ''), undefined, /answered 418/],
  ];
  test.each(cases)('%s', async (_, answer, token, message) => {
    hub.next('HEAD', () => answer);
    const error = await failure(get({ env: token === undefined ? {} : { HF_TOKEN: token } }));
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('hf_t');
    expect(waits).toEqual([]);
    expect(hub.seen).toHaveLength(1);
  });

  test('the signature of a store address is not shown', async () => {
    for (let i = 0; i < 12; i++)
      hub.next('GET', (request) => (request.url.startsWith(STORE) ? refuse(403, '') : undefined));
    const error = await failure(get());
    expect(error.message).toContain(STORE);
    expect(error.message).not.toContain('secret');
  });
});

describe('answers that no hub gives', () => {
  const cases: [string, Record<string, string>, number, RegExp][] = [
    ['no commit', { etag: '"abc"' }, 200, /no X-Repo-Commit/],
    ['a commit that is a path', { etag: '"abc"', 'x-repo-commit': '../../evil' }, 200, /no X-Repo-Commit/],
    ['no tag', { 'x-repo-commit': COMMIT }, 200, /no ETag/],
    ['a tag that is a path', { 'x-repo-commit': COMMIT, etag: '"../../evil"' }, 200, /cannot name a file/],
    [
      'a tag without end',
      { 'x-repo-commit': COMMIT, etag: `"${'a'.repeat(500)}"` },
      200,
      /cannot name a file/,
    ],
    [
      'a size beyond reason',
      { 'x-repo-commit': COMMIT, etag: '"a"', 'x-linked-size': '99000000000' },
      200,
      /more than/,
    ],
    ['a redirect to nowhere', { 'x-a': 'b' }, 302, /leads nowhere/],
    ['a redirect to a file', { location: 'file:///etc/passwd' }, 302, /a redirect to file:/],
    ['a redirect out of https', { location: 'http://plain.example/x' }, 302, /from https to http/],
  ];
  test.each(cases)('%s', async (_, headers, status, message) => {
    hub.next('HEAD', () => new Response(null, { status, headers }));
    await expect(get()).rejects.toThrow(message);
    expect(existsSync(repoFolder())).toBe(false);
  });

  test('a circle of redirects ends', async () => {
    for (let i = 0; i < 50; i++) hub.next('HEAD', () => redirect('/again'));
    await expect(get()).rejects.toThrow('more than 6 redirects');
    expect(hub.seen.length).toBeLessThan(10);
  });
});

describe('names that are not', () => {
  test.each(['../x', 'a/b/c', 'a--b/c', '/abs', 'a/', '', 'a/..', 'x\u0000y', `o/${'n'.repeat(100)}`])(
    'repository %j',
    async (repo) => {
      await expect(get({ repo })).rejects.toThrow(UsageError);
    },
  );
  test.each(['../x', '/etc/passwd', 'a/../b', 'C:\\x', 'a\\..\\b', '', './a'])('file %j', async (file) => {
    await expect(get({ file })).rejects.toThrow(UsageError);
  });
  test.each(['..', 'a/../b', '/x', '', 'a//b', '-x', 'a b'])('revision %j', async (revision) => {
    await expect(get({ revision })).rejects.toThrow(UsageError);
  });
  test.each([
    ['HF_ENDPOINT', 'ftp://x'],
    ['HF_ENDPOINT', 'huggingface.co'],
    ['HF_ENDPOINT', 'https://user:pass@x.example'],
    ['HF_HUB_DOWNLOAD_TIMEOUT', 'soon'],
    ['HF_TOKEN', 'a\nb'],
  ])('%s=%j', async (name, value) => {
    const error = await failure(get({ env: { [name]: value } }));
    expect(error).toBeInstanceOf(UsageError);
    expect(hub.seen).toEqual([]);
  });
});

test('ranged() of the fake answers as a server does', async () => {
  const request = new Request('https://x.example', { headers: { range: 'bytes=10-' } });
  const response = ranged(bytes, request);
  expect(response.status).toBe(206);
  expect((await response.arrayBuffer()).byteLength).toBe(bytes.length - 10);
});
