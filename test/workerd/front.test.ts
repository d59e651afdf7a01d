import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestHarness } from 'wrangler';
import { openFolder } from '../../cli/io/folder.ts';
import { exportModel } from '../../cli/jobs/export-model.ts';
import type { JobProgress } from '../../functions/app/job-schemas.ts';
import { newKey } from '../../functions/app/keys.ts';
import type { ModelsAnswer, SafetyAnswer, SafetyAnswers, ScoreAnswer } from '../../functions/app/schemas.ts';
import { type Bucket, bodyOf } from '../../functions/workers/bucket.ts';
import { memoryFolder, memorySource } from '../../src/io/memory.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { type Pair, toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { cli } from '../helpers/cli.ts';
import { type Members, makeTar } from '../helpers/shards.ts';
import { scratch } from '../helpers/tmp.ts';
import { startEdge, uploadTowers } from './edge.ts';

const SHARD = 'demo/shards/demo-00001.tar';
const PAIRS = 32;
const folder = await scratch();
const env = { SHARDSIEVE_QUANTISED: join(folder, 'quantised') };
const towers = join(folder, 'towers');
const pairs: Pair[] = [];
/** What the command line makes of the shard in the same precision, by key. */
const expected = new Map<string, number>();
const punsafe = new Map<string, number>();
/** A head's column, which counts towards `punsafe` too; and what NSFWJS says alone, as jobs have it. */
const flags = new Map<string, number>();
const drawn = new Map<string, number>();

beforeAll(async () => {
  await exportModel(
    { model: 'demo', out: towers, heads: ['concepts:demo/concepts.yaml'] },
    { env: { ...process.env, ...env } },
  );
  const out = join(folder, 'metadata');
  const safety = ['--safety', 'nsfwjs,concepts:demo/concepts.yaml'];
  const how = ['--model', 'demo', '--precision', 'int8-accurate', ...safety, '--quiet'];
  const scored = await cli(['score', SHARD, '--out', out, ...how], { env });
  expect([scored.code, scored.stderr]).toEqual([0, '']);
  const columns = new Map(
    (await readColumns(openFolder(out), 'demo-00001.parquet')).map(({ name, values }) => [name, values]),
  );
  const column = (name: string) => Array.from(columns.get(name) as ArrayLike<number>);
  Array.from(columns.get('key') as ArrayLike<string>).forEach((key, i) => {
    expected.set(key, column('clip_demo_int8_accurate_similarity_score')[i]);
    punsafe.set(key, column('punsafe')[i]);
    flags.set(key, column('safety_flags')[i]);
    drawn.set(key, column('nsfw_nsfwjs_porn')[i] + column('nsfw_nsfwjs_hentai')[i]);
  });
  const source = memorySource('pool', new Uint8Array(await readFile(SHARD)));
  for await (const sample of readSamples(source.stream(), { shard: 'demo-00001' })) {
    pairs.push(toPair(sample, { shardBase: 'demo-00001' }));
    if (pairs.length === PAIRS) break;
  }
});

async function score(url: string, some: readonly Pair[], key?: string): Promise<ScoreAnswer> {
  const items = some.map(({ image, caption }) => ({
    image: { base64: Buffer.from(image).toString('base64') },
    captions: [caption],
  }));
  const response = await fetch(`${url}/v1/score`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key ? { authorization: `Bearer ${key}` } : {}),
    },
    body: JSON.stringify({ items }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as ScoreAnswer;
}

const flagsOf = (safety: SafetyAnswer | null | undefined) => safety?.columns['safety_flags'] ?? 9;
const similarities = ({ items }: ScoreAnswer) => items.map(({ scores }) => scores[0].similarity);

/** As scored behind service bindings. */
let bound: number[];

describe('the front Worker', () => {
  let server: TestHarness;
  let url: string;
  afterAll(() => server?.close());

  it('scores as the command line does, its towers in Workers of their own', async () => {
    ({ server, url } = await startEdge([
      { configPath: 'wrangler.toml', vars: { OPEN: 'yes' } },
      { configPath: 'wrangler.image.toml' },
      { configPath: 'wrangler.text.toml' },
    ]));
    await uploadTowers(server, 'shardsieve-image', towers);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const found: number[] = [];
    for (let start = 0; start < PAIRS; start += 16) {
      const some = pairs.slice(start, start + 16);
      const answer = await score(url, some);
      expect(answer.model).toMatchObject({ slug: 'demo_int8_accurate', provider: 'wasm' });
      found.push(...similarities(answer));
      for (const [i, { safety }] of answer.items.entries()) {
        expect(Math.abs((safety?.punsafe ?? 9) - punsafe.get(some[i].key)!)).toBeLessThan(1e-3);
        expect(Math.abs(flagsOf(safety) - flags.get(some[i].key)!)).toBeLessThan(1e-3);
      }
    }
    // The bound above says little of a column that is 0 everywhere.
    expect(Math.max(...pairs.map(({ key }) => flags.get(key)!))).toBeGreaterThan(0.5);
    const differences = pairs.map(({ key }, i) => Math.abs(found[i] - expected.get(key)!));
    expect(Math.max(...differences)).toBeLessThanOrEqual(1e-3);
    expect(similarities(await score(url, [pairs[5]]))).toEqual([found[5]]);
    bound = found;
  });

  it('says which heads it has, and judges without a caption by the same', async () => {
    const { models } = (await (await fetch(`${url}/v1/models`)).json()) as ModelsAnswer;
    expect(models[0].heads).toEqual([{ name: 'demo_concepts', columns: ['safety_flags'] }]);
    const response = await fetch(`${url}/v1/safety`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ images: [{ base64: Buffer.from(pairs[0].image).toString('base64') }] }),
    });
    const { images } = (await response.json()) as SafetyAnswers;
    expect(Math.abs(flagsOf(images[0].safety) - flags.get(pairs[0].key)!)).toBeLessThan(1e-3);
  });

  it('does jobs through the same towers, to the scores of its API', async () => {
    const { SHARDS, METADATA } = await server
      .getWorker<Record<'SHARDS' | 'METADATA', Bucket>>('shardsieve')
      .getEnv();
    const shard = await makeTar(
      pairs.flatMap(
        ({ key, image, imageExt, caption }): Members => [
          [`${key}.${imageExt}`, image],
          [`${key}.txt`, caption],
        ],
      ),
    );
    await SHARDS.put('pool/x.tar', shard);
    const asked = await fetch(`${url}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prefix: 'pool/', out: 'metadata/pool', safety: ['nsfwjs'] }),
    });
    expect([asked.status, asked.ok || (await asked.text())]).toEqual([202, true]);
    const { id } = (await asked.json()) as JobProgress;
    let job: JobProgress;
    do {
      await new Promise((resolve) => setTimeout(resolve, 200));
      job = (await (await fetch(`${url}/v1/jobs/${id}`)).json()) as JobProgress;
    } while (job.state === 'running');
    expect(job).toMatchObject({ shards: { total: 1, done: 1 }, accounting: { seen: PAIRS, scored: PAIRS } });
    const body = bodyOf(await METADATA.get('metadata/pool/x.parquet'))!;
    const files = new Map([['x.parquet', new Uint8Array(await body.arrayBuffer())]]);
    const columns = await readColumns(memoryFolder('metadata', files), 'x.parquet');
    const values = (name: string) =>
      Array.from(columns.find((column) => column.name === name)!.values, Number);
    expect(values('clip_demo_int8_accurate_similarity_score')).toEqual(bound);
    for (const [i, { key }] of pairs.entries()) {
      expect(Math.abs(values('punsafe')[i] - drawn.get(key)!)).toBeLessThan(1e-3);
    }
  });

  it('shows its page, through its own headers', async () => {
    const page = await fetch(url);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(await page.text()).toBe(await readFile('web/index.html', 'utf8'));
    expect((await fetch(`${url}/tsconfig.json`)).status).toBe(404);
  });
});

describe('a front Worker that is to hold the towers itself', () => {
  let server: TestHarness;
  let url: string;
  const { key, record } = newKey('me', '2026-11-25T00:00:00Z');
  beforeAll(async () => {
    const API_KEYS = JSON.stringify({ keys: [record] });
    ({ server, url } = await startEdge([{ configPath: 'wrangler.demo.toml', secrets: { API_KEYS } }]));
  });
  afterAll(() => server?.close());

  it('without them is alive, lets nobody in without a key, and says what it lacks', async () => {
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const statusWith = (asked: string) => score(url, pairs.slice(0, 1), asked).catch(String);
    expect(await statusWith('')).toContain('401');
    expect(await statusWith('ssk_wrong')).toContain('401');
    expect(await statusWith(key)).toContain('503');
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    const logs = server.getLogs().map(({ message }) => message);
    expect(logs.join('\n')).toContain('model/manifest.json');
  });

  it('finds them once they are there, and gives the same scores', async () => {
    await uploadTowers(server, 'shardsieve-demo', towers);
    const answer = await score(url, pairs.slice(3, 7), key);
    expect(similarities(answer)).toEqual(bound.slice(3, 7));
    for (const [i, { safety }] of answer.items.entries()) {
      expect(Math.abs(flagsOf(safety) - flags.get(pairs[3 + i].key)!)).toBeLessThan(1e-3);
    }
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });
});
