import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { Agent, fetch } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { openNsfwjs } from '../../cli/safety/nsfwjs.ts';
import { DEFAULT_LIMITS } from '../../functions/app/limits.ts';
import type { ServedModel } from '../../functions/app/service.ts';
import { shardLine } from '../../functions/app/shard-schemas.ts';
import { memorySource } from '../../src/io/memory.ts';
import { type ScoredShard, scoreShard } from '../../src/score/shard.ts';
import { endlessTar } from './endless.ts';
import { demoModel, fakeModel, type Running, startApp } from './serve.ts';

const PATH = 'demo/shards/demo-00001.tar';
const tar = new Uint8Array(await readFile(PATH));
/** No answer is lost with a connection that is closed because a body was not read to its end. */
const dispatcher = new Agent({ pipelining: 0 });

let model: ServedModel;
let app: Running;
let whole: ScoredShard;
beforeAll(async () => {
  model = await demoModel();
  app = await startApp({ models: [fakeModel(), model] });
  whole = await scoreShard(memorySource('demo', tar), {
    ...{ shard: 'demo-00001', models: [model], decoder: createDecoder(), fit: 'open_clip' as const },
    ...{ pair: {}, embeddings: false },
  });
});
afterAll(async () => {
  await app.close();
  await model.clip.release();
});

const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => shardLine.parse(JSON.parse(line)));

async function put(body: Uint8Array, query = '', running = app) {
  const response = await fetch(`${running.url}/v1/shards${query}`, {
    method: 'PUT',
    body: new Uint8Array(body),
  });
  const text = await response.text();
  const isLines = response.headers.get('content-type') === 'application/x-ndjson';
  return { status: response.status, text, lines: isLines ? linesOf(text) : [] };
}

function endOf(lines: ReturnType<typeof linesOf>) {
  const end = lines.at(-1);
  if (end?.kind !== 'end') throw new Error('the last line is no end');
  const before = lines.slice(0, -1);
  expect(end.seen).toBe(before.length);
  expect(end.scored).toBe(before.filter(({ kind }) => kind === 'scored').length);
  expect(end.seen).toBe(end.scored + Object.values(end.skipped).reduce((sum, n) => sum + n, 0));
  return end;
}

describe('a shard in a request', () => {
  test('is answered with what scoring it gives, one line a sample, and the accounting', async () => {
    const { status, lines } = await put(tar, '?model=demo&name=demo-00001&captions=true');
    expect(status).toBe(200);
    const scored = lines.filter((line) => line.kind === 'scored');
    const [{ slug, scores }] = whole.table.clips;
    expect(scored).toEqual(
      whole.table.rows.map((row, i) => ({
        ...{ kind: 'scored', key: row.key, uid: row.uid, caption: row.text },
        ...{ width: row.original_width, height: row.original_height, scores: { [slug]: scores[i] } },
      })),
    );
    expect(lines.filter((line) => line.kind === 'skipped')).toEqual(
      whole.skipped.map((line) => ({ kind: 'skipped', ...line })),
    );
    expect(endOf(lines)).toMatchObject({
      ...{ complete: true, seen: whole.counts.seen, bytes: tar.length },
      sha256: createHash('sha256').update(tar).digest('hex'),
      models: [{ name: model.name, slug, fingerprint: model.fingerprint }],
    });
  });

  test('by curl -T, in gzip, under its own name', async () => {
    const { stdout } = await promisify(execFile)('curl', ['-sST', PATH, `${app.url}/v1/shards/?model=demo`], {
      maxBuffer: 1e7,
    });
    expect(endOf(linesOf(stdout))).toMatchObject({ complete: true, scored: whole.counts.scored });
    const packed = await put(gzipSync(tar, { level: 1 }), '/demo-00001.tar.gz?model=demo&uid=key');
    const keyed = packed.lines.filter((line) => line.kind === 'scored').map(({ uid }) => uid);
    const { rows } = whole.table;
    const expected = createHash('sha256').update(`demo-00001/${rows[0].key}`).digest('hex').slice(0, 32);
    expect(keyed[0]).toBe(expected);
    expect(endOf(packed.lines).complete).toBe(true);
  });

  test('the answer begins before the upload ends', async () => {
    const sent = request(`${app.url}/v1/shards?model=demo`, { method: 'POST' });
    sent.write(tar.subarray(0, tar.length / 2));
    const answer = await new Promise<import('node:http').IncomingMessage>((resolve) =>
      sent.on('response', resolve),
    );
    let text = '';
    for await (const chunk of answer) {
      if (text === '') sent.end(tar.subarray(tar.length / 2));
      text += String(chunk);
    }
    expect(endOf(linesOf(text))).toMatchObject({ complete: true, seen: whole.counts.seen });
  });

  test('safety columns stand in the line where they are asked for', async () => {
    const nsfw = await openNsfwjs();
    const safe = await startApp({ models: [fakeModel()], nsfw });
    try {
      const { lines } = await put(tar.subarray(0, 200_704), '?safety=true', safe);
      const scored = lines.filter((line) => line.kind === 'scored');
      expect(scored.length).toBeGreaterThan(5);
      for (const { safety = {} } of scored) {
        const five = nsfw.labels.map((label) => Number(safety[`nsfw_nsfwjs_${label}`]));
        expect(five.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 4);
        expect(safety['punsafe']).toBeCloseTo(
          Number(safety['nsfw_nsfwjs_porn']) + Number(safety['nsfw_nsfwjs_hentai']),
          5,
        );
        expect(safety['nsfw_tag']).toMatch(/^(UNLIKELY|UNSURE|NSFW)$/);
      }
    } finally {
      await safe.close();
      await nsfw.release();
    }
  });
});

describe('what is no whole shard', () => {
  test('one that breaks off: what was whole, the reason, and the accounting', async () => {
    const cut = await put(tar.subarray(0, 300_000), '?model=demo');
    expect(cut.status).toBe(200);
    expect(endOf(cut.lines)).toMatchObject({ complete: false, bytes: 300_000, skipped: { truncated: 1 } });
    const skips = await put(tar, '?uid=json:nowhere');
    expect(skips.lines.length).toBe(whole.counts.seen + 1);
    expect(endOf(skips.lines)).toMatchObject({ complete: true, scored: 0 });
    const damaged = tar.slice();
    // The header after the one that was cut above.
    damaged.fill(0x41, 300_032, 301_056 + 512 * 100);
    const broken = await put(damaged, '?model=demo');
    const end = endOf(broken.lines);
    expect(end).toMatchObject({
      complete: false,
      problem: { type: 'urn:shardsieve:problem:invalid', status: 422 },
    });
    expect(end.scored).toBeGreaterThan(10);
    expect(end.problem?.detail).toMatch(/checksum|header/);
  });

  test.each([
    [
      'no tar',
      new TextEncoder().encode('not a tar at all, '.repeat(100)),
      '',
      422,
      /not begin with a tar header/,
    ],
    ['nothing', new Uint8Array(0), '', 422, /no bytes|empty/],
    ['a model that is not here', tar, '?model=other', 422, /no model "other" here; there is fake, demo/],
    ['a name that no file can have', tar, '?name=.hidden', 422, /no output can be named/],
    ['an option that does not exist', tar, '?models=demo', 422, /models/],
    ['a flag that is none', tar, '?safety=1', 422, /safety/],
  ])('%s is a problem document', async (_, body, query, status, detail) => {
    const answer = await put(body, query);
    expect(answer.status).toBe(status);
    expect((JSON.parse(answer.text) as { detail: string }).detail).toMatch(detail);
  });

  test('a failure of the engine ends the lines with a problem, and the log says which', async () => {
    let calls = 0;
    const failing = await startApp({
      models: [
        fakeModel({
          embedPictures: async (pictures) => {
            if (++calls > 2) throw new Error('the towers fell');
            return new Float32Array(pictures.length * 4);
          },
        }),
      ],
    });
    const { lines } = await put(tar, '', failing);
    await failing.close();
    expect(endOf(lines)).toMatchObject({ complete: false, scored: 32, problem: { status: 500 } });
    expect(JSON.stringify(lines)).not.toContain('towers fell');
    expect(failing.logged).toContainEqual(
      expect.objectContaining({ level: 'error', error: 'the towers fell' }),
    );
  });
});

describe('a client that is slow or gone', () => {
  test('one that stops sending is told so', async () => {
    const impatient = await startApp({ limits: { ...DEFAULT_LIMITS, bodyMs: 300 } });
    const sent = request(`${impatient.url}/v1/shards`, { method: 'POST' });
    sent.write(tar.subarray(0, 400_000));
    const answer = await new Promise<import('node:http').IncomingMessage>((resolve) =>
      sent.on('response', resolve),
    );
    let text = '';
    for await (const chunk of answer) text += String(chunk);
    sent.destroy();
    await impatient.close();
    expect(endOf(linesOf(text))).toMatchObject({ complete: false, problem: { status: 408 } });
  });

  test('one that does not read is not read from without end, and one that leaves frees its place', async () => {
    const narrow = await startApp({ limits: { ...DEFAULT_LIMITS, shardStreams: 1, shardBytes: 1 << 20 } });
    let written = 0;
    const sent = request(`${narrow.url}/v1/shards?captions=true`, { method: 'POST' });
    sent.setMaxListeners(0);
    sent.on('error', () => {});
    const upload = (async () => {
      for await (const bytes of endlessTar(tar)) {
        if (sent.destroyed) return;
        written += bytes.length;
        if (!sent.write(bytes))
          await new Promise<void>((resolve) => sent.once('drain', resolve).once('close', resolve));
      }
    })();
    const answer = await new Promise<import('node:http').IncomingMessage>((resolve) =>
      sent.on('response', resolve),
    );
    answer.on('error', () => {});
    answer.pause();
    // Until nothing moves any more: what is sent stands still though there is no end of it.
    let before = -1;
    for (let still = 0; still < 3; ) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      still = written === before ? still + 1 : 0;
      before = written;
    }
    const refused = await fetch(`${narrow.url}/v1/shards`, { method: 'PUT', body: tar, dispatcher });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('10');
    sent.destroy();
    await upload;
    let status = 503;
    for (let tries = 0; status === 503 && tries < 50; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const again = await put(tar, '', narrow);
      ({ status } = again);
    }
    expect(status).toBe(200);
    await narrow.close();
  });
});
