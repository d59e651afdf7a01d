/** The typed client and `score --endpoint`, over a real server; faults by a server that has them. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { DEFAULT_LIMITS } from '../../functions/app/limits.ts';
import { ApiError, ShardsieveClient } from '../../functions/client/client.ts';
import { CancelledError, DownloadError } from '../../src/errors.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';
import { type CliServer, startServer } from '../serve/server.ts';

const SHARD = join(import.meta.dirname, '../../demo/shards/demo-00000.tar');
const folder = await scratch();

let server: CliServer;
let client: ShardsieveClient;
beforeAll(async () => {
  server = await startServer(['--model', 'demo', '--open', '--safety', 'nsfwjs']);
  client = new ShardsieveClient({ endpoint: `${server.url}/` });
});
afterAll(() => server?.stop());

describe('score --endpoint', () => {
  it('writes what a run here writes, to the last byte of scores and embeddings', async () => {
    const [here, there] = [join(folder, 'here'), join(folder, 'there')];
    const local = await cli(['score', SHARD, '--model', 'demo', '--out', here, '--quiet', '--limit', '48']);
    const remote = await cli([
      'score',
      SHARD,
      '--endpoint',
      server.url,
      '--out',
      there,
      '--quiet',
      '--limit',
      '48',
    ]);
    expect([local.code, remote.code, remote.stderr]).toEqual([0, 0, '']);
    for (const file of ['demo-00000.parquet', 'demo-00000.npz']) {
      expect(await readFile(join(there, file))).toEqual(await readFile(join(here, file)));
    }
    const [a, b] = await Promise.all(
      [here, there].map(async (out) => JSON.parse(await readFile(join(out, 'run.json'), 'utf8'))),
    );
    expect(b.models.demo.fingerprint).toBe(a.models.demo.fingerprint);
    // One set of numbers: what is missing of one may be made by the other.
    const again = await cli(['score', SHARD, '--model', 'demo', '--out', there, '--json', '--limit', '48']);
    expect(JSON.parse(again.stdout).shards).toMatchObject({ reused: 1 });
  });

  it('says what is wrong', async () => {
    const run = async (...args: string[]) => {
      const { code, stderr } = await cli(['score', SHARD, '--out', join(folder, 'x'), ...args]);
      return [code, stderr];
    };
    expect(await run('--endpoint', 'nonsense')).toEqual([
      2,
      expect.stringContaining('is no address of a server'),
    ]);
    expect(await run('--endpoint', server.url, '--precision', 'int8')).toEqual([
      2,
      expect.stringContaining("--precision is the server's matter"),
    ]);
    expect(await run('--endpoint', server.url, '--batch', '4')).toEqual([
      2,
      expect.stringContaining("--batch is the server's matter"),
    ]);
    expect(await run('--endpoint', server.url, '--model', 'other')).toEqual([
      1,
      expect.stringContaining('It has demo'),
    ]);
    expect(await run('--endpoint', server.url, '--fit', 'visual')).toEqual([
      1,
      expect.stringContaining('the server with --fit visual'),
    ]);
    expect(await run('--endpoint', `${server.url}/elsewhere`)).toEqual([
      1,
      expect.stringContaining('it is where /v1 begins'),
    ]);
  });
});

describe('the client', () => {
  it('scores, embeds, classifies and judges, as the parquet has it', async () => {
    const lines = [];
    for await (const line of client.shard(new Uint8Array(await readFile(SHARD)), {
      name: 'demo-00000',
      captions: true,
    })) {
      lines.push(line);
    }
    const end = lines.at(-1);
    expect(end).toMatchObject({ kind: 'end', complete: true, seen: lines.length - 1 });
    const columns = await readColumns(openFolder(join(folder, 'here')), 'demo-00000.parquet');
    const scores = columns.find(({ name }) => name === 'clip_demo_similarity_score')?.values;
    const scored = lines.filter((line) => line.kind === 'scored').slice(0, 48);
    expect(scored.map(({ scores }) => scores['demo'])).toEqual([...(scores ?? [])]);

    const { models } = await client.models();
    const answer = await client.classify([await picture()], ['a dog', 'a strawberry'], { templates: ['{}'] });
    expect(answer.images[0].labels.map(({ label }) => label)).toEqual(['a dog', 'a strawberry']);
    const both = await client.score(await picture(), ['a dog', 'a strawberry'], { embeddings: 'float' });
    const embedded = await client.embed([await picture()], { captions: ['a dog'] });
    expect(embedded.images[0].embedding).toEqual(both.image.embedding);
    expect((embedded.images[0].embedding as number[]).length).toBe(models[0].dim);
    expect((await client.safety([await picture()])).images[0].safety).toEqual(both.safety);
  });

  it('takes a shard as a stream, and stops the server when left early', async () => {
    const bytes = new Uint8Array(await readFile(SHARD));
    // Half is held back until a line is there.
    const line = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(bytes.subarray(0, bytes.length / 2));
        await line.promise;
        controller.enqueue(bytes.subarray(bytes.length / 2));
        controller.close();
      },
    });
    let lines = 0;
    for await (const { kind } of client.shard(body)) {
      expect(kind).toBe('scored');
      line.resolve();
      if (++lines === 20) break;
    }
    expect(await client.ready()).toBe(true);
  });

  it('tells a refusal by its problem document', async () => {
    const refused = await client.score(new Uint8Array(10), ['a dog']).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ApiError);
    expect(refused).toMatchObject({ status: 415, problem: { errors: [{ pointer: '/items/0/image' }] } });
    const outside = await client.embed([], { tokens: [[49_406, 60_000]] }).catch((error: unknown) => error);
    expect(outside).toMatchObject({ status: 422, problem: { errors: [{ pointer: '/tokens/0/1' }] } });
    const long = await client.embed([], { tokens: [new Array(78).fill(1)] }).catch((error: unknown) => error);
    expect(long).toMatchObject({ status: 422, problem: { errors: [{ pointer: '/tokens/0' }] } });
  });
});

describe('a server with faults', () => {
  let faulty: Server;
  let url: string;
  /** What it answers with, in turn. */
  let answers: ((response: import('node:http').ServerResponse) => void)[];
  let asked: number;
  beforeAll(async () => {
    faulty = createServer((_, response) => {
      asked++;
      answers.shift()?.(response);
    }).listen(0, '127.0.0.1');
    await new Promise((go) => faulty.once('listening', go));
    url = `http://127.0.0.1:${(faulty.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    faulty.closeAllConnections();
    faulty.close();
  });
  const ok = { models: [], nsfwjs: false, urls: false, limits: {} };

  it('is asked again after 429 and 503, as long after as it says, and after a broken line', async () => {
    asked = 0;
    answers = [
      (response) => response.writeHead(429, { 'retry-after': '0' }).end(),
      (response) => response.writeHead(503, { 'retry-after': '0' }).end('{"detail":"busy"}'),
      (response) => response.destroy(),
      (response) => response.end(JSON.stringify(ok)),
    ];
    expect(await new ShardsieveClient({ endpoint: url }).models()).toEqual(ok);
    expect(asked).toBe(4);
  });

  it('is not asked again after 401, and its key is wanted', async () => {
    asked = 0;
    answers = [(response) => response.writeHead(401).end('{"detail":"send a key"}')];
    const error = await new ShardsieveClient({ endpoint: url }).models().catch((e: unknown) => e);
    expect(error).toMatchObject({ status: 401, message: expect.stringMatching(/send a key.*Give a key/s) });
    expect(asked).toBe(1);
  });

  it('is waited for longer than it may take for a body and its answer', async () => {
    answers = [(response) => response.end(JSON.stringify(ok))];
    const limit = vi.spyOn(AbortSignal, 'timeout');
    await new ShardsieveClient({ endpoint: url }).models();
    const [[ms]] = limit.mock.calls;
    limit.mockRestore();
    expect(ms).toBeGreaterThan(DEFAULT_LIMITS.bodyMs + DEFAULT_LIMITS.requestMs);
  });

  it('is not asked again after 408, 413 and 422', async () => {
    for (const status of [408, 413, 422]) {
      asked = 0;
      answers = [(response) => response.writeHead(status).end(), (response) => response.end('{}')];
      await expect(new ShardsieveClient({ endpoint: url }).models()).rejects.toMatchObject({ status });
      expect(asked).toBe(1);
    }
  });

  it('is given up on when it stays silent, or the caller stops', async () => {
    answers = [() => {}, () => {}];
    const quick = new ShardsieveClient({ endpoint: url, timeoutMs: 50, attempts: 2 });
    await expect(quick.models()).rejects.toThrow(/no answer within 50 ms/);
    answers = [() => {}];
    const stop = new AbortController();
    const waiting = new ShardsieveClient({ endpoint: url }).models({ signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    await expect(waiting).rejects.toBeInstanceOf(CancelledError);
  });

  it('cuts a shard’s answer off, which is told', async () => {
    answers = [(response) => response.end('{"kind":"scored","key":"a"}\n')];
    const read = async () => {
      for await (const _ of new ShardsieveClient({ endpoint: url }).shard(new Uint8Array(512))) void _;
    };
    const error = await read().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DownloadError);
    expect(error).toMatchObject({ message: expect.stringContaining('broke off before its last line') });
  });
});

let first: Uint8Array<ArrayBuffer> | undefined;
/** The first picture of the shard. */
async function picture(): Promise<Uint8Array<ArrayBuffer>> {
  if (first !== undefined) return first;
  const { readSamples } = await import('../../src/webdataset/samples.ts');
  const { pictureOf } = await import('../../src/webdataset/pair.ts');
  const { fileSource } = await import('../../cli/io/file.ts');
  for await (const sample of readSamples(fileSource(SHARD).stream(), { shard: 'demo-00000' })) {
    first = new Uint8Array(pictureOf(sample));
    return first;
  }
  throw new Error('the shard is empty');
}
