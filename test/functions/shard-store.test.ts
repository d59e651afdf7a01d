import { HttpResponse, http } from 'msw';
import { setupServer } from 'msw/node';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parseOrigins, shardStore } from '../../functions/jobs/stores.ts';
import type { Bucket } from '../../functions/workers/bucket.ts';
import { ShardError, UsageError } from '../../src/errors.ts';

const ORIGIN = 'https://pool.example';
const URL_ = `${ORIGIN}/v1/00000.tar?signature=secret`;
const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);

const noBucket: Bucket = {
  head: async () => null,
  get: async () => null,
  put: async () => null,
  delete: async () => {},
  list: async () => ({ objects: [], truncated: false }),
};
const store = shardStore(noBucket, [ORIGIN, 'https://cdn.example']);

const server = setupServer();
beforeAll(() => server.listen());
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const firstByte = (headers: Record<string, string>) =>
  new HttpResponse(bytes.slice(0, 1), {
    status: 206,
    headers: { 'content-range': 'bytes 0-0/5000', ...headers },
  });

/** An origin that answers as it should, unless told otherwise. */
function origin(
  more: { headers?: Record<string, string>; get?: (request: Request) => Response | undefined } = {},
) {
  const headers = { etag: '"one"', ...more.headers };
  server.use(
    // As for a URL that is signed for GET.
    http.head(`${ORIGIN}/v1/00000.tar`, () => new HttpResponse(null, { status: 403 })),
    http.get(`${ORIGIN}/v1/00000.tar`, ({ request }) => {
      if (request.headers.get('range') === 'bytes=0-0') return firstByte(headers);
      const other = more.get?.(request);
      if (other !== undefined) return other;
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get('range') ?? '')?.[1] ?? 0);
      if (from === 0) return new HttpResponse(bytes, { headers });
      return new HttpResponse(bytes.slice(from), {
        status: 206,
        headers: { ...headers, 'content-range': `bytes ${from}-4999/5000` },
      });
    }),
  );
}

async function readFrom(offset: number): Promise<Uint8Array> {
  const found = (await store.find(URL_))!;
  const chunks: Uint8Array[] = [];
  for await (const chunk of found.open(offset).stream()) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

describe('shards at an origin', () => {
  test('are found with length and ETag, named without what is secret, and read from anywhere', async () => {
    origin();
    expect(await store.find(URL_)).toMatchObject({
      name: `${ORIGIN}/v1/00000.tar`,
      size: 5000,
      etag: '"one"',
    });
    expect(await readFrom(0)).toEqual(bytes);
    expect(await readFrom(1234)).toEqual(bytes.slice(1234));
    expect(await readFrom(5000)).toEqual(new Uint8Array(0));
  });

  test('redirects are followed inside the list and refused outside of it', async () => {
    let target = 'https://cdn.example/00000.tar';
    const redirect = () => new HttpResponse(null, { status: 302, headers: { location: target } });
    server.use(http.get(`${ORIGIN}/v1/00000.tar`, redirect));
    server.use(
      http.get('https://cdn.example/00000.tar', ({ request }) =>
        request.headers.get('range') === null
          ? new HttpResponse(bytes, { headers: { etag: '"c"' } })
          : firstByte({ etag: '"c"' }),
      ),
    );
    expect(await readFrom(0)).toEqual(bytes);
    for (target of [
      'https://elsewhere.example/x.tar',
      'http://pool.example/x.tar',
      'http://169.254.169.254/latest',
    ]) {
      await expect(store.find(URL_)).rejects.toThrow(UsageError);
    }
    target = URL_;
    await expect(store.find(URL_)).rejects.toThrow(/more than 5 redirects/);
  });

  test.each([
    'https://elsewhere.example/a.tar',
    'http://pool.example/a.tar',
    'https://pool.example.evil.example/a.tar',
    'https://user:password@pool.example/a.tar',
    'https://pool.example:8443/a.tar',
    'ftp://pool.example/a.tar',
    'https://[',
  ])('%s is not read', async (url) => {
    await expect(store.find(url)).rejects.toThrow(UsageError);
  });

  test('one that is not there is undefined', async () => {
    server.use(http.get(`${ORIGIN}/v1/00000.tar`, () => new HttpResponse(null, { status: 404 })));
    expect(await store.find(URL_)).toBeUndefined();
  });

  test('one whose origin knows no ranges has the length of the whole; one without a length is refused', async () => {
    let headers: Record<string, string> = { etag: '"one"', 'content-length': '5000' };
    let status = 200;
    server.use(http.get(`${ORIGIN}/v1/00000.tar`, () => new HttpResponse(bytes, { status, headers })));
    expect(await store.find(URL_)).toMatchObject({ size: 5000, etag: '"one"' });
    status = 206;
    headers = { etag: '"one"', 'content-length': '1', 'content-range': 'bytes 0-0/*' };
    await expect(store.find(URL_)).rejects.toThrow(/no length/);
    status = 403;
    await expect(store.find(URL_)).rejects.toThrow(/was 403/);
  });

  test('origins are read as they are written', () => {
    expect(parseOrigins(' https://pool.example/, HTTPS://CDN.example:443 ,,https://a.example/b')).toEqual([
      'https://pool.example',
      'https://cdn.example',
      'https://a.example/b',
    ]);
  });

  test.each<[string, Parameters<typeof origin>[0], RegExp]>([
    ['a weak ETag', { headers: { etag: 'W/"one"' } }, /strong ETag/],
    [
      'the whole where a part was asked for',
      { get: () => new HttpResponse(bytes, { headers: { etag: '"one"' } }) },
      /from 100 was 200/,
    ],
    [
      'another version',
      {
        get: () =>
          new HttpResponse(bytes.slice(100), {
            status: 206,
            headers: { etag: '"two"', 'content-range': 'bytes 100-4999/5000' },
          }),
      },
      /replaced/,
    ],
    [
      'another range',
      {
        get: () =>
          new HttpResponse(bytes.slice(99), {
            status: 206,
            headers: { etag: '"one"', 'content-range': 'bytes 99-4999/5000' },
          }),
      },
      /from 100 was 206/,
    ],
    [
      'fewer bytes',
      {
        get: () =>
          new HttpResponse(bytes.slice(100, 4000), {
            status: 206,
            headers: { etag: '"one"', 'content-range': 'bytes 100-4999/5000' },
          }),
      },
      /not the 5000 bytes/,
    ],
    ['429', { get: () => new HttpResponse(null, { status: 429 }) }, /was 429/],
    ['500', { get: () => new HttpResponse(null, { status: 500 }) }, /was 500/],
    ['nothing', { get: () => HttpResponse.error() }, /fetch/],
    [
      'a body that breaks off',
      {
        get: () =>
          new HttpResponse(breaking(), {
            status: 206,
            headers: { etag: '"one"', 'content-range': 'bytes 100-4999/5000' },
          }),
      },
      /broke off|fetch failed/,
    ],
  ])('%s is a failure that is tried again, not a shard that ends early', async (_, how, message) => {
    origin(how);
    const error: unknown = await readFrom(100).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ShardError);
    expect(error).toMatchObject({ problem: 'unreadable', message: expect.stringMatching(message) });
    expect(String(error)).not.toContain('secret');
  });
});

function breaking(): ReadableStream<Uint8Array> {
  let sent = false;
  return new ReadableStream({
    pull(controller) {
      if (sent) controller.error(new Error('reset'));
      else controller.enqueue(bytes.slice(100, 200));
      sent = true;
    },
  });
}
