/** The real undici against real sockets, and real processes beside each other. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { downloadFile, type FileRequest } from '../../cli/hub/download.ts';
import { DownloadError, UsageError } from '../../src/errors.ts';
import { COMMIT, FakeHub, noise, serve, sha256, temporaryFolder } from './fake-hub.ts';

const FILE = 'weights.safetensors';
const bytes = noise(400_000);
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

let hub: FakeHub;
let folder: ReturnType<typeof temporaryFolder>;
let ends: (() => void)[];

beforeEach(() => {
  hub = new FakeHub();
  hub.store = undefined;
  hub.add(FILE, bytes);
  folder = temporaryFolder();
  ends = [];
});
afterEach(() => {
  for (const end of ends) end();
  folder.remove();
});

async function start(...args: Parameters<typeof serve> extends [unknown, infer W] ? [W?] : never) {
  const whole = async (body: Buffer, write: (part: Buffer) => void) => {
    write(body);
    return 'end' as const;
  };
  const server = await serve(hub, args[0] ?? whole);
  ends.push(server.close);
  return server.endpoint;
}

function get(env: Record<string, string>, over: Partial<FileRequest> = {}) {
  return downloadFile({
    repo: 'org/name',
    file: FILE,
    sleep: () => pause(1),
    ...over,
    env: { HF_HOME: folder.path, ...env },
  });
}

const blobs = () => readdirSync(join(folder.path, 'hub', 'models--org--name', 'blobs'));

test('a server that cuts every answer short is followed by ranges to the end', async () => {
  const endpoint = await start(async (body, write, method) => {
    if (method === 'HEAD') return 'end';
    write(body.subarray(0, 150_000));
    await pause(30);
    return body.length > 150_000 ? 'cut' : 'end';
  });
  const got = await get({ HF_ENDPOINT: endpoint });
  expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  expect(hub.seen.filter(({ method }) => method === 'GET').map(({ range }) => range)).toEqual([
    null,
    'bytes=150000-',
    'bytes=300000-',
  ]);
  expect(blobs()).toEqual([sha256(bytes)]);
});

test('a silent server is given up after the stall time', async () => {
  let first = true;
  const endpoint = await start(async (body, write, method) => {
    if (method === 'GET' && first) {
      first = false;
      write(body.subarray(0, 1000));
      await pause(1500);
      return 'cut';
    }
    write(body);
    return 'end';
  });
  const notes: string[] = [];
  const env = { HF_ENDPOINT: endpoint, HF_HUB_DOWNLOAD_TIMEOUT: '0.2' };
  const got = await get(env, { onNote: (note) => notes.push(note) });
  expect(notes).toEqual([expect.stringContaining('nothing came for 0.2 s')]);
  expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
});

test('HTTP_PROXY is used, and NO_PROXY keeps out of it', async () => {
  const endpoint = await start();
  // The proxy is the hub itself: plain http reaches a proxy as a request for an absolute address.
  const env = { HF_ENDPOINT: 'http://hub.invalid', HTTP_PROXY: endpoint };
  expect(readFileSync((await get(env)).path)).toEqual(Buffer.from(bytes));
  expect(hub.urls('HEAD')).toEqual([`http://hub.invalid/org/name/resolve/main/${FILE}`]);
  const direct = { ...env, NO_PROXY: 'hub.invalid', HF_HOME: join(folder.path, 'b') };
  await expect(get(direct)).rejects.toThrow(/the connection failed: .*hub\.invalid/);
});

test('HTTPS_PROXY tunnels; a proxy that wants a login says so at once', async () => {
  const endpoint = await start();
  const proxy = new URL(endpoint);
  const asked: string[] = [];
  const { server, close } = await serve(new FakeHub(), async () => 'end');
  ends.push(close);
  let status = '407 Proxy Authentication Required';
  server.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    socket.on('error', () => undefined);
    if (status !== '200 OK') return socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\n\r\n`);
    socket.write(`HTTP/1.1 ${status}\r\n\r\n`);
    const through = connect(Number(proxy.port), proxy.hostname);
    through.on('error', () => socket.destroy());
    socket.on('close', () => through.destroy());
    socket.pipe(through).pipe(socket);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const env = { HF_ENDPOINT: 'https://hub.invalid', HTTPS_PROXY: `http://127.0.0.1:${address.port}` };
  await expect(get(env)).rejects.toThrow(/the proxy wants a user name and password \(407\)/);
  expect(asked).toEqual(['hub.invalid:443']);
  // The tunnel opens onto a server that speaks no TLS: the handshake fails, and fails as a download.
  status = '200 OK';
  await expect(get(env)).rejects.toThrow(DownloadError);
  await expect(get({ ...env, HTTPS_PROXY: 'not an address' })).rejects.toThrow(UsageError);
});

test('nobody listens: a download error that names the address', async () => {
  const endpoint = await start();
  for (const end of ends.splice(0)) end();
  await expect(get({ HF_ENDPOINT: endpoint })).rejects.toThrow(/ECONNREFUSED.*tried 6 times.*HF_ENDPOINT/);
});

interface Child {
  process: ChildProcess;
  progress: Promise<void>;
  result: Promise<{ ok: boolean; fromCache?: boolean; code?: string; message?: string }>;
}

function child(endpoint: string, prefix: string[] = []): Child {
  const script = fileURLToPath(new URL('child.ts', import.meta.url));
  const [command, ...args] = [...prefix, process.execPath, script, FILE, 'main'];
  const env = { PATH: process.env.PATH, HF_HOME: folder.path, HF_ENDPOINT: endpoint };
  const running = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  ends.push(() => running.kill('SIGKILL'));
  let out = '';
  running.stdout.on('data', (part) => {
    out += part;
  });
  const progress = new Promise<void>((resolve) => {
    // The first line says what was there, the next that bytes came.
    running.stderr.on('data', (part) => Number(String(part).trim().split('\n').at(-1)) > 0 && resolve());
  });
  const result = new Promise<Awaited<Child['result']>>((resolve) => {
    running.on('close', () => resolve(out === '' ? { ok: false, code: 'killed' } : JSON.parse(out)));
  });
  return { process: running, progress, result };
}

test('two processes that want one file download it once', async () => {
  const endpoint = await start(async (body, write) => {
    for (let at = 0; at < body.length; at += 40_000) {
      write(body.subarray(at, at + 40_000));
      await pause(100);
    }
    return 'end';
  });
  const results = await Promise.all([child(endpoint).result, child(endpoint).result]);
  expect(results.map(({ ok }) => ok)).toEqual([true, true]);
  expect(results.map(({ fromCache }) => fromCache).sort()).toEqual([false, true]);
  expect(hub.urls('GET')).toHaveLength(1);
  expect(blobs()).toEqual([sha256(bytes)]);
});

test('what a killed process left is taken up, its lock too', async () => {
  const endpoint = await start(async (body, write, method) => {
    if (method === 'GET' && body.length === bytes.length) {
      write(body.subarray(0, 100_000));
      await pause(5000);
      return 'cut';
    }
    write(body);
    return 'end';
  });
  const killed = child(endpoint);
  await killed.progress;
  await pause(50);
  killed.process.kill('SIGKILL');
  await killed.result;
  expect(blobs()).toEqual([expect.stringMatching(/\.shardsieve-[0-9a-f]{8}\.incomplete$/)]);
  const notes: string[] = [];
  const lockTimes = { orphanMs: 100, pollMs: 20 };
  const got = await get({ HF_ENDPOINT: endpoint }, { lockTimes, onNote: (note) => notes.push(note) });
  expect(hub.seen.at(-1)?.range).toBe('bytes=100000-');
  expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
  expect(got.commit).toBe(COMMIT);
  expect(blobs()).toEqual([sha256(bytes)]);
  expect(readdirSync(join(folder.path, 'hub', '.locks', 'models--org--name'))).toEqual([]);
});

test.skipIf(process.platform === 'win32')(
  'a full disk is an output error, and what fitted is kept',
  async () => {
    const endpoint = await start();
    // A limit on the size of files (in 1024 bytes) stands in for the disk's end.
    const limited = child(endpoint, ['bash', '-c', 'trap "" XFSZ; ulimit -f 100; exec "$@"', 'bash']);
    const result = await limited.result;
    expect(result).toMatchObject({ ok: false, code: 'output' });
    expect(result.message).toContain('there is no room left');
    expect(blobs()).toEqual([`${sha256(bytes)}.shardsieve.incomplete`]);
    await get({ HF_ENDPOINT: endpoint });
    expect(hub.seen.at(-1)?.range).toBe(`bytes=${100 * 1024}-`);
  },
);
