/** `shardsieve serve` as its operator runs it. */
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newKey } from '../../functions/app/keys.ts';
import type { ModelsAnswer, ScoreAnswer } from '../../functions/app/schemas.ts';
import { memorySource } from '../../src/io/memory.ts';
import { type Pair, toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';
import { startServer } from './server.ts';

const SHARD = join(import.meta.dirname, '../../demo/shards/demo-00000.tar');

async function demoPairs(n: number): Promise<Pair[]> {
  const pairs: Pair[] = [];
  const source = memorySource('pool', new Uint8Array(await readFile(SHARD)));
  for await (const sample of readSamples(source.stream(), { shard: 'demo-00000' })) {
    pairs.push(toPair(sample, { shardBase: 'demo-00000' }));
    if (pairs.length === n) break;
  }
  return pairs;
}

function formOf({ image, caption }: Pair): FormData {
  const form = new FormData();
  form.append('image', new Blob([image as Uint8Array<ArrayBuffer>]));
  form.append('caption', caption);
  return form;
}

async function score(url: string, pair: Pair): Promise<ScoreAnswer> {
  const response = await fetch(`${url}/v1/score`, { method: 'POST', body: formOf(pair) });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as ScoreAnswer;
}

describe('serve', () => {
  it('gives a pair the same bits among many requests as alone, and judges safety', async () => {
    const server = await startServer([
      '--model',
      'demo',
      '--open',
      '--safety',
      'nsfwjs,concepts',
      '--wait',
      '20',
    ]);
    try {
      const pairs = await demoPairs(24);
      const alone: ScoreAnswer['items'] = [];
      for (const pair of pairs.slice(0, 4)) alone.push(...(await score(server.url, pair)).items);
      const together = await Promise.all(pairs.map((pair) => score(server.url, pair)));
      expect(together.slice(0, 4).map(({ items }) => items[0])).toEqual(alone);
      expect(Object.keys(alone[0].safety?.columns ?? {})).toContain('nsfw_nsfwjs_neutral');
      expect(Object.keys(alone[0].safety?.columns ?? {}).some((name) => name.startsWith('safety_'))).toBe(
        true,
      );
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      expect(metrics).toContain('shardsieve_waiting{model="demo"} 0');
      expect(metrics).toContain('route="/v1/score",method="POST",status="200"} 28');
    } finally {
      const { stdout } = await server.stop();
      expect(stdout).toMatch(/every request was answered/);
    }
  });

  it('serves several models, each by its name', async () => {
    const server = await startServer([
      '--model',
      'demo',
      '--model',
      'demo',
      '--slug',
      'a',
      '--slug',
      'b',
      '--open',
    ]);
    try {
      const { models } = (await (await fetch(`${server.url}/v1/models`)).json()) as ModelsAnswer;
      expect(models.map(({ slug, default: first }) => [slug, first])).toEqual([
        ['a', true],
        ['b', false],
      ]);
      const [pair] = await demoPairs(1);
      const form = formOf(pair);
      form.append('model', 'b');
      const response = await fetch(`${server.url}/v1/score`, { method: 'POST', body: form });
      expect(((await response.json()) as ScoreAnswer).model.slug).toBe('b');
    } finally {
      await server.stop();
    }
  });

  it('loses no request on SIGTERM', async () => {
    const server = await startServer(['--model', 'demo', '--open', '--linger', '1500']);
    const pairs = await demoPairs(8);
    const states: number[] = [];
    const failures: string[] = [];
    let drained = false;
    const client = async (pair: Pair) => {
      while (!drained) {
        try {
          const response = await fetch(`${server.url}/v1/score`, { method: 'POST', body: formOf(pair) });
          await response.json();
          states.push(response.status);
        } catch (error) {
          failures.push(`${error}: ${(error as Error).cause}`);
          return;
        }
      }
    };
    // As a balancer does: it sends nothing more here once the server is not ready.
    const balancer = async () => {
      while ((await fetch(`${server.url}/readyz`)).status === 200)
        await new Promise((go) => setTimeout(go, 10));
      drained = true;
    };
    const clients = Array.from({ length: 16 }, (_, i) => client(pairs[i % pairs.length]));
    while (states.length < 40) await new Promise((go) => setTimeout(go, 10));
    const balancing = balancer();
    const before = states.length;
    const { code, stdout } = await server.stop();
    await Promise.all([...clients, balancing]);
    expect(failures).toEqual([]);
    expect(new Set(states)).toEqual(new Set([200]));
    // Those on their way when the signal came were answered after it.
    expect(states.length).toBeGreaterThan(before);
    expect(code).toBe(143);
    expect(stdout).toMatch(/stopped; every request was answered/);
  });

  it('refuses what it has no room for with 503 and when to come again', async () => {
    const server = await startServer(['--model', 'demo', '--open', '--backlog', '2', '--wait', '0']);
    try {
      const pairs = await demoPairs(8);
      const answers = await Promise.all(
        Array.from({ length: 48 }, async (_, i) => {
          const body = formOf(pairs[i % 8]);
          const response = await fetch(`${server.url}/v1/score`, { method: 'POST', body });
          return {
            status: response.status,
            retryAfter: response.headers.get('retry-after'),
            type: response.headers.get('content-type'),
            json: (await response.json()) as { detail?: string },
          };
        }),
      );
      const busy = answers.filter(({ status }) => status === 503);
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]));
      expect(Number(busy[0].retryAfter)).toBeGreaterThanOrEqual(1);
      expect(busy[0].type).toContain('application/problem+json');
      expect(busy[0].json.detail).toMatch(/wait/);
    } finally {
      await server.stop();
    }
  });

  it('asks for keys, forgets a revoked one without a restart, and logs no key', async () => {
    const folder = await scratch();
    const file = join(folder, 'keys.json');
    const { key, record } = newKey('alice', '2026-11-25T00:00:00Z');
    await writeFile(file, JSON.stringify({ keys: [record] }));
    const server = await startServer(['--model', 'demo', '--keys', file]);
    const ask = async (given?: string) =>
      (
        await fetch(`${server.url}/v1/models`, {
          headers: given === undefined ? {} : { authorization: `Bearer ${given}` },
        })
      ).status;
    expect([await ask(), await ask(key), await ask(`${key.slice(0, -1)}_`)]).toEqual([401, 200, 401]);
    await writeFile(file, '{"keys": [');
    await new Promise((go) => setTimeout(go, 1100));
    expect(await ask(key)).toBe(200);
    await writeFile(file, JSON.stringify({ keys: [{ ...record, revoked: '2026-11-25T01:00:00Z' }] }));
    await new Promise((go) => setTimeout(go, 1100));
    expect(await ask(key)).toBe(401);
    const { stderr } = await server.stop();
    expect(stderr).toContain('the keys changed and cannot be read');
    expect(stderr).toContain('"key":"alice"');
    expect(stderr).not.toContain(key);
  });

  it('says what is wrong before it listens', async () => {
    const run = async (...args: string[]) => {
      const { code, stderr, stdout } = await cli(['serve', '--model', 'demo', ...args]);
      expect(stdout).toBe('');
      return [code, stderr] as const;
    };
    expect(await run()).toEqual([2, expect.stringContaining('say --open')]);
    expect(await run('--open', '--keys', 'x')).toEqual([2, expect.stringContaining('exclude each other')]);
    expect(await run('--keys', '/nowhere/keys.json')).toEqual([2, expect.stringContaining('keys new NAME')]);
    expect(await run('--open', '--safety', 'words')).toEqual([2, expect.stringContaining('judges pictures')]);
    expect(await run('--open', '--port', '99999')).toEqual([2, expect.stringContaining('port 99999')]);
    const server = await startServer(['--model', 'demo', '--open']);
    const { port } = new URL(server.url);
    const [code, stderr] = await cli(['serve', '--model', 'demo', '--open', '--port', port]).then((taken) => [
      taken.code,
      taken.stderr,
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Choose another with --port')]);
    await server.stop();
  });

  it('does not wait for a client that says nothing', async () => {
    const server = await startServer(['--model', 'demo', '--open']);
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    await new Promise((go) => socket.once('connect', go));
    const { code } = await server.stop();
    expect(code).toBe(143);
    socket.destroy();
  });
});
