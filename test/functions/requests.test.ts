/** Requests that cannot be answered, and what each is told; time that runs out. Over real HTTP. */
import { request as httpRequest } from 'node:http';
import sharp from 'sharp';
import { afterEach, expect, test } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { DEFAULT_LIMITS } from '../../functions/app/limits.ts';
import { Problem } from '../../functions/app/problems.ts';
import type { ProblemDocument } from '../../functions/app/schemas.ts';
import { DownloadError, ModelError } from '../../src/errors.ts';
import { picture } from '../helpers/pool.ts';
import { fakeModel, type Running, startApp } from './serve.ts';

let running: Running | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

const GOOD = Buffer.from(await picture(1, 'png')).toString('base64');
const item = (captions: unknown = ['a cat'], base64: unknown = GOOD) => ({ image: { base64 }, captions });

async function post(body: BodyInit, type = 'application/json', path = '/v1/score') {
  const answer = await fetch(`${running!.url}${path}`, {
    method: 'POST',
    headers: type === '' ? {} : { 'content-type': type },
    body,
  });
  return { status: answer.status, headers: answer.headers, json: (await answer.json()) as ProblemDocument };
}

const score = (body: object, path?: string) => post(JSON.stringify(body), 'application/json', path);

test('a body that cannot be read: no type, another type, no JSON, no form, compressed', async () => {
  running = await startApp();
  expect((await post(new Uint8Array([1]), '')).status).toBe(415);
  expect((await post('a=b', 'application/x-www-form-urlencoded')).status).toBe(415);
  expect((await post('{')).json).toMatchObject({ status: 400, detail: 'the body is no JSON in UTF-8' });
  expect((await post(new Uint8Array([0x22, 0xff, 0x22]))).status).toBe(400);
  expect((await post('')).status).toBe(400);
  expect((await post('no form', 'multipart/form-data; boundary=x')).status).toBe(400);
  expect((await post('--x\r\n', 'multipart/form-data')).status).toBe(400);
  const gzipped = await fetch(`${running.url}/v1/score`, {
    ...{ method: 'POST', body: '{}' },
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
  });
  expect(gzipped.status).toBe(415);
});

test('every wrong field is named by its pointer', async () => {
  running = await startApp();
  const wrong = await score({
    ...{ model: 7, 'od~d/': 1 },
    items: [
      item([' \u3000', 'good']),
      { image: { base64: '*' }, captions: 'a' },
      { image: {}, captions: [] },
    ],
  });
  expect(wrong.status).toBe(422);
  expect(wrong.json.errors?.map(({ pointer }) => pointer)).toEqual([
    '/model',
    '/items/0/captions/0',
    '/items/1/image/base64',
    '/items/1/captions',
    '/items/2/image',
    '/items/2/captions',
    '/od~0d~1',
  ]);
  expect((await score([])).json.errors?.[0].pointer).toBe('');
  const unknown = await score({ model: 'none', items: [item()] });
  expect(unknown.json).toMatchObject({
    status: 422,
    errors: [{ pointer: '/model', detail: 'is none of the models here: fake' }],
  });
});

test('limits: captions, their length, pictures, pairs, prompts', async () => {
  const limits = { ...DEFAULT_LIMITS, captionChars: 10, textChars: 25, images: 2, pairs: 3, prompts: 4 };
  running = await startApp({ limits });
  const pointers = async (body: object, path?: string) => {
    const { status, json } = await score(body, path);
    return [status, json.errors?.[0].pointer];
  };
  expect(await pointers({ items: [item(['12345678901'])] })).toEqual([422, '/items/0/captions/0']);
  expect(await pointers({ items: [item(['1234567890', '1234567890', '123456'])] })).toEqual([422, undefined]);
  expect(await pointers({ items: [item(), item(), item()] })).toEqual([422, '/items']);
  expect(await pointers({ items: [item(['a', 'b']), item(['c', 'd'])] })).toEqual([422, '/items']);
  expect(await pointers({ items: [item(['a', 'b', 'c'])] })).toEqual([200, undefined]);
  const labels = { images: [{ base64: GOOD }], labels: ['a', 'b', 'c'], templates: ['{}', '{}.'] };
  expect(await pointers(labels, '/v1/classify')).toEqual([422, '/labels']);
  expect(await pointers({ ...labels, templates: ['no hole'] }, '/v1/classify')).toEqual([
    422,
    '/templates/0',
  ]);
  const long = { ...labels, labels: ['1234567890'], templates: ['{}{}{}'] };
  expect(await pointers(long, '/v1/classify')).toEqual([422, '/labels']);
  expect(await pointers({ ...long, templates: ['{}12345'] }, '/v1/classify')).toEqual([200, undefined]);
  expect(await pointers({}, '/v1/embed')).toEqual([422, '']);
});

test('a boundary counts where a line begins, and only the one that is counted cuts the form', async () => {
  running = await startApp();
  const boundary = 'b'.repeat(30);
  const field = (name: string, value: string) =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const request = field('request', JSON.stringify({ items: [item()] }));
  const many = `${field('caption', 'a').repeat(6_000)}--${boundary}--\r\n`;
  const once = `${request}--${boundary}--\r\n`;
  expect((await post(once, `multipart/form-data; boundary=${boundary}`)).status).toBe(200);
  expect((await post(once, `multipart/form-data; boundary="${boundary}"`)).status).toBe(200);
  const within = await post(`x--${boundary}`.repeat(6_000), `multipart/form-data; boundary=${boundary}`);
  expect(within.status).toBe(400);
  const two = `multipart/form-data; a="; boundary=${'c'.repeat(30)}"; boundary=${boundary}`;
  expect((await post(many, two)).status).toBe(400);
});

test('a label in a template’s thousands of places is refused before there is such a text', async () => {
  running = await startApp();
  const body = { images: [{ base64: GOOD }], labels: ['a'.repeat(65_536)], templates: ['{}'.repeat(32_768)] };
  const { status, json } = await score(body, '/v1/classify');
  expect([status, json.errors?.[0].pointer]).toEqual([422, '/labels']);
});

test('a body over the limit is 413, whether it says its length or not', async () => {
  const limits = { ...DEFAULT_LIMITS, bodyBytes: 10_000 };
  running = await startApp({ limits });
  expect((await post('x'.repeat(10_001))).json).toMatchObject({
    status: 413,
    detail: 'the body is larger than 10000 bytes',
  });
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    async pull(controller) {
      sent += 1000;
      controller.enqueue(new Uint8Array(1000).fill(32));
      if (sent > 50e6) controller.close();
    },
  });
  const answer = await fetch(`${running.url}/v1/score`, {
    ...{ method: 'POST', body: endless, duplex: 'half' as const },
    headers: { 'content-type': 'application/json' },
  });
  expect(answer.status).toBe(413);
  expect(sent).toBeLessThan(50e6);
});

test('a body of millions of small things is refused before they are looked at one by one', async () => {
  running = await startApp();
  const many = [
    `{"items":[${'1,'.repeat(300_000)}1]}`,
    '['.repeat(300_000) + ']'.repeat(300_000),
    `{${Array.from({ length: 300_000 }, (_, i) => `"${i}":1`).join(',')}}`,
  ];
  for (const body of many) {
    expect((await post(body)).json).toMatchObject({
      status: 422,
      detail: 'the body has more values than any request takes',
    });
  }
  const field = '--b\r\ncontent-disposition: form-data; name="caption"\r\n\r\na\r\n';
  const form = await post(`${field.repeat(6_000)}--b--\r\n`, 'multipart/form-data; boundary="b"');
  expect(form.json).toMatchObject({ status: 422, detail: 'the form has more fields than any request takes' });
  // A boundary that begins at every byte and ends at none: longer than RFC 2046 has it, and as long.
  const dashes = new Uint8Array(8 * 2 ** 20).fill(0x2d);
  for (const [length, detail] of [
    [71, 'the form’s type must name its boundary, of at most 70 characters'],
    [70, 'the body is no multipart form of the boundary that its type names'],
  ] as const) {
    const form = await post(dashes, `multipart/form-data; boundary=${'b'.padStart(length, '-')}`);
    expect(form.json).toMatchObject({ status: 400, detail });
  }
  // What stands in a string counts for nothing.
  const caption = `${'",[{\\'.repeat(10_000)}`;
  const said = await score({ items: [item([caption])] });
  expect([said.status, caption.length]).toEqual([200, 50_000]);
});

test('pictures that cannot be used: each is named with its reason, and the status is theirs', async () => {
  const limits = { ...DEFAULT_LIMITS, imageBytes: 5_000, imagePixels: 2_000 };
  running = await startApp({ limits });
  const large = await sharp({ create: { width: 50, height: 41, channels: 3, background: '#123' } })
    .png()
    .toBuffer();
  const [good, jpeg] = [GOOD, Buffer.from(await picture(2, 'jpeg'))];
  const cases = [
    ['not a picture', Buffer.from('hello').toString('base64'), 415, 'undecodable_image'],
    ['cut short', jpeg.subarray(0, 200).toString('base64'), 422, 'undecodable_image'],
    ['too many pixels', large.toString('base64'), 413, 'image_too_large'],
    ['too many bytes', Buffer.alloc(5_001).toString('base64'), 413, 'image_too_large'],
  ] as const;
  for (const [name, base64, status, reason] of cases) {
    const answer = await score({ items: [item(['a'], good), item(['a'], base64)] });
    expect([name, answer.status]).toEqual([name, status]);
    expect(answer.json.errors).toMatchObject([{ pointer: '/items/1/image', reason }]);
  }
  const all = await score({ images: cases.map(([, base64]) => ({ base64 })) }, '/v1/embed');
  expect(all.status).toBe(422);
  expect(all.json.errors?.map(({ pointer }) => pointer)).toEqual(cases.map((_, i) => `/images/${i}`));
});

test('a URL where none are fetched is 403, a part that is not there 422', async () => {
  running = await startApp();
  const url = await score({ items: [{ image: { url: 'https://example.com/a.png' }, captions: ['a'] }] });
  expect(url.json).toMatchObject({ status: 403, errors: [{ pointer: '/items/0/image/url' }] });
  const part = await score({ items: [{ image: { part: 'a' }, captions: ['a'] }] });
  expect(part.json).toMatchObject({ status: 422, errors: [{ pointer: '/items/0/image/part' }] });
  for (const bad of ['file:///etc/passwd', 'data:image/png;base64,AAAA', 'ftp://a/b', 'nonsense']) {
    const refused = await score({ items: [{ image: { url: bad }, captions: ['a'] }] });
    expect([bad, refused.status]).toEqual([bad, 422]);
  }
});

test('of pictures at URLs few are held at a time, over all requests, until they are decoded', async () => {
  const png = new Uint8Array(await picture(1, 'png'));
  const decoder = createDecoder();
  let held = 0;
  let most = 0;
  running = await startApp({
    fetchUrl: async () => {
      most = Math.max(most, ++held);
      return png;
    },
    decoder: {
      ...decoder,
      async decode(...given) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return decoder.decode(...given).finally(() => held--);
      },
    },
  });
  const images = Array.from({ length: 20 }, (_, i) => ({ url: `https://images.example/${i}.png` }));
  const statuses = async (requests: number) => {
    const answers = Array.from({ length: requests }, () => score({ images }, '/v1/embed'));
    return (await Promise.all(answers)).map(({ status }) => status);
  };
  expect([await statuses(1), most, held]).toEqual([[200], 6, 0]);
  expect([await statuses(3), most, held]).toEqual([[200, 200, 200], 8, 0]);
});

test('a form’s fields are all read or refused', async () => {
  running = await startApp();
  const form = new FormData();
  form.append('image', 'text');
  form.append('caption', new Blob(['a']), 'a.txt');
  form.append('captoin', 'a');
  const answer = await fetch(`${running.url}/v1/score`, { method: 'POST', body: form });
  const { errors } = (await answer.json()) as ProblemDocument;
  expect([answer.status, errors]).toMatchObject([
    422,
    [
      { pointer: '/image', detail: 'must be a file' },
      { pointer: '/captoin', detail: 'is not a field of this form' },
      { pointer: '/caption', detail: 'must be text, not a file' },
    ],
  ]);
  const empty = await fetch(`${running.url}/v1/score`, { method: 'POST', body: new FormData() });
  expect(empty.status).toBe(422);
});

test('a body that does not come is 408, a model that does not answer 503 with Retry-After', async () => {
  const limits = { ...DEFAULT_LIMITS, bodyMs: 100, requestMs: 150 };
  let told: AbortSignal | undefined;
  const model = fakeModel({
    embedPictures: (_, signal) => {
      told = signal;
      return new Promise(() => {});
    },
  });
  running = await startApp({ limits, models: [model] });
  const { port } = new URL(running.url);
  const status = await new Promise((resolve, reject) => {
    const slow = httpRequest(
      {
        ...{ host: '127.0.0.1', port, method: 'POST', path: '/v1/score' },
        headers: { 'content-type': 'application/json', 'content-length': 100 },
      },
      (answer) => {
        resolve(answer.statusCode);
        answer.resume();
        slow.destroy();
      },
    );
    slow.on('error', reject);
    slow.write('{');
  });
  expect(status).toBe(408);
  const late = await score({ items: [item()] });
  expect([late.status, late.headers.get('retry-after')]).toEqual([503, '5']);
  expect(told?.aborted).toBe(true);
});

test('a client that goes away is told to the model, and is no fault of the server', async () => {
  let told: AbortSignal | undefined;
  const arrived = Promise.withResolvers<void>();
  const model = fakeModel({
    embedPictures: (_, signal) => {
      told = signal;
      arrived.resolve();
      return new Promise(() => {});
    },
  });
  running = await startApp({ models: [model] });
  const leaving = new AbortController();
  const asked = fetch(`${running.url}/v1/score`, {
    ...{ method: 'POST', signal: leaving.signal, body: JSON.stringify({ items: [item()] }) },
    headers: { 'content-type': 'application/json' },
  });
  await arrived.promise;
  leaving.abort();
  await expect(asked).rejects.toThrow();
  const { logged } = running;
  await expect.poll(() => logged.map(({ status }) => status)).toEqual([499]);
  expect(told?.aborted).toBe(true);
});

test('faults of ours tell the client nothing and the log what it was; captions are in neither', async () => {
  const faults = [
    [new ModelError('secret weights', { file: '/secret/path' }), 500],
    [new TypeError('secret bug'), 500],
    [new DownloadError('secret host'), 503],
    [new Problem('too_many_requests', 'the queue is full', { retryAfter: 2 }), 429],
  ] as const;
  for (const [fault, status] of faults) {
    const embedTexts = async () => {
      throw fault;
    };
    running = await startApp({ models: [fakeModel({ embedTexts })] });
    const answer = await score({ items: [item(['a private caption'])] });
    expect([fault.name, answer.status]).toEqual([fault.name, status]);
    const text = JSON.stringify(answer.json);
    expect(text).not.toMatch(/secret|\.ts:|at async/);
    expect(answer.json.request_id).toBe(answer.headers.get('x-request-id'));
    const { logged } = running;
    if (status >= 500) expect(logged[0].error).toContain('secret');
    expect(JSON.stringify(logged)).not.toContain('private caption');
    expect(logged[0]).toMatchObject({ status, route: '/v1/score', model: 'fake', images: 1, captions: 1 });
    await running.close();
  }
});

test('an unknown error that is no Error is answered too', async () => {
  const embedTexts = async () => {
    throw 17;
  };
  running = await startApp({ models: [fakeModel({ embedTexts })] });
  expect((await score({ items: [item()] })).json).toMatchObject({ status: 500 });
});
