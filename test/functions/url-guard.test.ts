/** Pictures at URLs: a real server that tries each trick, and addresses that are none of the public internet's. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type GuardedFetcher, type GuardOptions, guardedFetcher } from '../../cli/serve/guard.ts';
import { isPublicAddress } from '../../functions/app/addresses.ts';
import { Problem } from '../../functions/app/problems.ts';
import type { ProblemDocument, ScoreAnswer } from '../../functions/app/schemas.ts';
import { picture } from '../helpers/pool.ts';
import { startApp } from './serve.ts';

const PNG = await picture(3, 'png');
const BOMB = gzipSync(Buffer.alloc(50_000_000));
/** The origin that is allowed lies on 127.0.0.2; nothing else of 127.0.0.0/8 may be gone to. */
const HOST = '127.0.0.2';
const NETWORKS = [`${HOST}/32`];

let allowed: Server;
let inside: Server;
let origin: string;
let insideOrigin: string;
/** Requests that reached the server that must not be reached. */
let reached: string[] = [];
let seen: NodeJS.Dict<string | string[]> = {};
let fetcher: GuardedFetcher | undefined;

const ROUTES: { [path: string]: RequestListener } = {
  '/good': (_, answer) => answer.setHeader('content-type', 'text/plain').end(PNG),
  '/once': (_, answer) => answer.writeHead(302, { location: '/good' }).end(),
  '/loop': (_, answer) => answer.writeHead(302, { location: '/loop' }).end(),
  '/inside': (_, answer) => answer.writeHead(302, { location: `${insideOrigin}/secret` }).end(),
  '/loopback': (_, answer) => answer.writeHead(307, { location: 'http://127.0.0.1/' }).end(),
  '/elsewhere': (_, answer) => answer.writeHead(301, { location: 'https://example.org/' }).end(),
  '/file': (_, answer) => answer.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  '/nowhere': (_, answer) => answer.writeHead(302).end(),
  '/endless': (_, answer) => {
    answer.write(PNG);
    const more = () => {
      while (!answer.destroyed && answer.write(Buffer.alloc(65_536)));
    };
    answer.on('drain', more);
    more();
  },
  '/slow': (_, answer) => {
    answer.write(PNG.subarray(0, 20));
    const timer = setInterval(() => answer.write('x'), 50);
    answer.on('close', () => clearInterval(timer));
  },
  '/silent': () => {},
  '/short': (_, answer) => {
    answer.writeHead(200, { 'content-length': PNG.length + 10 }).write(PNG);
    setTimeout(() => answer.destroy(), 20);
  },
  '/huge': (_, answer) => answer.writeHead(200, { 'content-length': 1e12 }).flushHeaders(),
  '/header': (_, answer) => answer.writeHead(200, { 'x-large': 'x'.repeat(60_000) }).end(PNG),
  '/bomb': (_, answer) => answer.writeHead(200, { 'content-encoding': 'gzip' }).end(BOMB),
  '/page': (_, answer) => answer.setHeader('content-type', 'image/png').end(`<html>${' '.repeat(1000)}`),
  '/missing': (_, answer) => answer.writeHead(404).end(),
  '/empty': (_, answer) => answer.end(),
};

async function listen(host: string, handle: RequestListener): Promise<[Server, string]> {
  const server = createServer(handle).listen(0, host);
  await once(server, 'listening');
  return [server, `http://${host}:${(server.address() as AddressInfo).port}`];
}

beforeAll(async () => {
  [allowed, origin] = await listen(HOST, (request, answer) => {
    seen = request.headers;
    const handle = ROUTES[request.url ?? ''];
    if (handle === undefined) answer.writeHead(500).end();
    else handle(request, answer);
  });
  [inside, insideOrigin] = await listen('127.0.0.1', (request, answer) => {
    reached.push(String(request.url));
    answer.end(PNG);
  });
});
afterAll(() => {
  for (const server of [allowed, inside]) {
    server.closeAllConnections();
    server.close();
  }
});
afterEach(async () => {
  await fetcher?.close();
  fetcher = undefined;
  expect(reached).toEqual([]);
  reached = [];
});

/** `ok`, or the status and what is said of it. */
async function ask(url: string, options: Partial<GuardOptions> = {}, maxBytes = 100_000): Promise<string> {
  fetcher ??= guardedFetcher({
    ...{ origins: [origin], http: true, networks: NETWORKS, timeoutMs: 400 },
    ...options,
  });
  try {
    const bytes = await fetcher.fetchUrl(url, { maxBytes, signal: new AbortController().signal });
    return Buffer.compare(bytes, PNG) === 0 ? 'ok' : `${bytes.length} bytes`;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return `${error.status} ${error.message}`;
  }
}

test('a picture is fetched, by way of a redirect too, whatever type it claims; nothing of us is told', async () => {
  expect(await ask(`${origin}/good`)).toBe('ok');
  expect(await ask(`${origin}/once`)).toBe('ok');
  expect(Object.keys(seen).sort()).toEqual(
    [
      'accept',
      'accept-encoding',
      'accept-language',
      'connection',
      'host',
      'sec-fetch-mode',
      'user-agent',
    ].sort(),
  );
});

test.for([
  ['/inside', '403 this server does not fetch from there'],
  ['/loopback', '403 this server does not fetch from there'],
  ['/elsewhere', '403 this server does not fetch from there'],
  ['/file', '403 this server does not fetch from there'],
  ['/nowhere', '422 the URL redirects to nowhere'],
  ['/loop', '422 the URL redirects more than 3 times'],
  ['/endless', '413 the picture has more than 100000 bytes'],
  ['/huge', '413 the picture has more than 100000 bytes'],
  ['/slow', '422 the picture did not arrive within 400 ms'],
  ['/silent', '422 the picture did not arrive within 400 ms'],
  ['/short', '422 the picture cannot be fetched'],
  ['/header', '422 the picture cannot be fetched'],
  ['/bomb', '415 the URL’s origin compressed what it was asked not to'],
  ['/page', '415 what lies there is no JPEG, PNG, WebP or GIF'],
  ['/missing', "422 the URL's origin answered 404"],
  ['/empty', '0 bytes'],
] as const)('%s: %s', async ([path, told]) => {
  expect(await ask(`${origin}${path}`)).toBe(told);
});

test('other schemes, credentials, other ports and hosts are refused before anything is sent', async () => {
  const { port, host } = new URL(origin);
  const refused = ['file:///etc/passwd', 'data:image/png;base64,AAAA', 'nonsense', `https://${host}/good`];
  refused.push(
    `http://${HOST}:1/good`,
    `http://localhost:${port}/good`,
    `http://${HOST}.example:${port}/good`,
  );
  refused.push(`http://evil.example#@${host}/good`, `ftp://${host}/good`, 'blob:http://127.0.0.2/x');
  for (const url of refused) expect([url, (await ask(url)).slice(0, 3)]).toEqual([url, '403']);
  expect(await ask(`http://user:secret@${host}/good`)).toMatch(/^403 .*password/);
  // The one address in other words is the one address: URLs are compared as they are parsed.
  expect(await ask(`http://0x7f000002:${port}/good`)).toBe('ok');
});

test('an origin that is listed is not gone to where its address is none of the public internet’s', async () => {
  const port = new URL(insideOrigin).port;
  const names = [
    insideOrigin,
    `http://localhost:${port}`,
    `http://[::1]:${port}`,
    `http://[::ffff:127.0.0.1]:${port}`,
  ];
  const origins = [origin, ...names.map((name) => new URL(name).origin)];
  for (const name of names) {
    expect([name, await ask(`${name}/x`, { origins })]).toEqual([
      name,
      '403 this server does not fetch from there',
    ]);
  }
  // A redirect inside of the list is checked like the first step.
  expect(await ask(`${origin}/inside`, { origins })).toBe('403 this server does not fetch from there');
});

test('a name is gone to at the address that was checked, and checked again for each connection', async () => {
  const port = new URL(origin).port;
  const name = `http://images.test:${port}`;
  const answers = [[HOST], ['127.0.0.1'], ['93.184.216.34', '10.0.0.1'], []];
  let asked = 0;
  const resolve = async (hostname: string) => {
    expect(hostname).toBe('images.test');
    return answers[asked++].map((address) => ({ address, family: 4 }));
  };
  const told: string[] = [];
  for (const _ of answers) {
    told.push(await ask(`${name}/good`, { origins: [name], resolve }));
    allowed.closeAllConnections();
    await new Promise((done) => setTimeout(done, 50));
  }
  const refused = '403 this server does not fetch from there';
  expect(told).toEqual(['ok', refused, refused, refused]);
  expect(asked).toBe(answers.length);
});

test('which addresses are public', () => {
  const inner = [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
  ];
  inner.push(
    '169.254.169.254',
    '100.64.0.1',
    '192.0.0.1',
    '192.0.2.1',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
  );
  inner.push('255.255.255.255', '::', '::1', 'fe80::1', 'fc00::1', 'fd12::1', 'ff02::1', '::ffff:127.0.0.1');
  inner.push(
    '::ffff:a00:1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '2001:0:7f00:1::',
    '2001:db8::1',
    'name',
    '',
    '1',
  );
  for (const address of inner) expect([address, isPublicAddress(address)]).toEqual([address, false]);
  for (const address of ['1.1.1.1', '93.184.216.34', '172.32.0.1', '2606:4700::1111', '::ffff:1.1.1.1']) {
    expect([address, isPublicAddress(address)]).toEqual([address, true]);
  }
});

test('lists that make no sense are refused when the server starts', () => {
  for (const bad of [
    'images.example',
    'http://a.example',
    'https://a.example/',
    '*',
    'https://a.example/x',
  ]) {
    expect(() => guardedFetcher({ origins: [bad] })).toThrow(/no origin/);
  }
  expect(() => guardedFetcher({ origins: ['http://a.example'], http: true, networks: ['10/8'] })).toThrow(
    /network/,
  );
});

test('through the API: the score of a fetched picture is that of the same picture sent', async () => {
  fetcher = guardedFetcher({ origins: [origin], http: true, networks: NETWORKS });
  const running = await startApp({ fetchUrl: fetcher.fetchUrl });
  try {
    const score = async (...urls: string[]) => {
      const answer = await fetch(`${running.url}/v1/score`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ items: urls.map((url) => ({ image: { url }, captions: ['a'] })) }),
      });
      return [answer.status, (await answer.json()) as ScoreAnswer & ProblemDocument] as const;
    };
    const [status, { items }] = await score(`${origin}/good`);
    expect([status, items[0].image.format, items[0].scores[0].similarity]).toEqual([200, 'png', 1]);
    const [refused, { errors }] = await score(`${origin}/good`, `${insideOrigin}/secret`, `${origin}/page`);
    expect([refused, errors?.map(({ pointer }) => pointer)]).toEqual([
      422,
      ['/items/1/image/url', '/items/2/image/url'],
    ]);
  } finally {
    await running.close();
  }
});
