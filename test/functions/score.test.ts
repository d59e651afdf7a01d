/** The API's numbers over real HTTP, against what the command line writes for the same shard. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { headOfConcepts } from '../../cli/heads/concepts.ts';
import { nodeHead } from '../../cli/heads/run.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { openNsfwjs } from '../../cli/safety/nsfwjs.ts';
import type {
  ClassifyAnswer,
  EmbedAnswer,
  ModelsAnswer,
  SafetyAnswers,
  ScoreAnswer,
} from '../../functions/app/schemas.ts';
import type { ServedModel } from '../../functions/app/service.ts';
import { roundToFloat16 } from '../../src/annotate/half.ts';
import { readMatrix } from '../../src/embeddings/arrays.ts';
import { memorySource } from '../../src/io/memory.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import type { Nsfwjs } from '../../src/safety/nsfwjs/model.ts';
import { type Pair, toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { cli } from '../helpers/cli.ts';
import { fixtureJson } from '../helpers/fixtures.ts';
import { scratch } from '../helpers/tmp.ts';
import { demoModel, type Running, startApp } from './serve.ts';

const SHARD = 'demo/shards/demo-00000.tar';
const CONCEPTS = 'demo/concepts.yaml';
const folder = await scratch();
const out = join(folder, 'metadata');

let running: Running;
let model: ServedModel;
let nsfw: Nsfwjs;
let pairs: Pair[];
const columns = new Map<string, ArrayLike<unknown>>();
let fingerprint: string;

beforeAll(async () => {
  const args = ['score', SHARD, '--out', out, '--model', 'demo', '--safety', `nsfwjs,concepts:${CONCEPTS}`];
  const scored = await cli([...args, '--quiet']);
  expect([scored.code, scored.stderr]).toEqual([0, '']);
  for (const { name, values } of await readColumns(openFolder(out), 'demo-00000.parquet')) {
    columns.set(name, values);
  }
  const run = JSON.parse(await readFile(join(out, 'run.json'), 'utf8')) as {
    models: { demo: { fingerprint: string } };
  };
  fingerprint = run.models.demo.fingerprint;
  const [wanted] = await wantModels({ models: ['demo'] });
  model = await demoModel({ heads: [await nodeHead(await headOfConcepts(CONCEPTS, wanted))] });
  nsfw = await openNsfwjs();
  running = await startApp({ models: [model], nsfw });
  pairs = [];
  const source = memorySource('pool', new Uint8Array(await readFile(SHARD)));
  for await (const sample of readSamples(source.stream(), { shard: 'demo-00000' })) {
    pairs.push(toPair(sample, { shardBase: 'demo-00000' }));
  }
});
afterAll(async () => {
  await running?.close();
  await Promise.all([model?.clip.release(), nsfw?.release()]);
});

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

async function ask<Answer>(path: string, body: object): Promise<Answer> {
  const answer = await fetch(`${running.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect([answer.status, answer.ok || (await answer.text())]).toEqual([200, true]);
  return (await answer.json()) as Answer;
}

test('every pair of a demo shard has exactly the numbers of `shardsieve score`, safety columns too', async () => {
  expect(pairs.length).toBe(columns.get('uid')?.length);
  const named = ['nsfw_nsfwjs_drawing', 'nsfw_nsfwjs_porn', 'safety_flags'];
  for (let start = 0; start < pairs.length; start += 64) {
    const batch = pairs.slice(start, start + 64);
    const answer = await ask<ScoreAnswer>('/v1/score', {
      model: 'demo',
      items: batch.map(({ image, caption }) => ({ image: { base64: base64(image) }, captions: [caption] })),
    });
    expect(answer.model).toMatchObject({ name: 'demo', slug: 'demo', fingerprint, precision: 'fp32' });
    for (const [i, { image, scores, safety }] of answer.items.entries()) {
      const row = start + i;
      const of = (name: string) => columns.get(name)?.[row];
      expect(of('uid')).toBe(pairs[row].uid);
      expect(scores[0].similarity).toBe(of('clip_demo_similarity_score'));
      expect([image.width, image.height].every((side) => side > 0)).toBe(true);
      expect(safety?.punsafe).toBe(of('punsafe'));
      expect(safety?.nsfw_tag).toBe(of('nsfw_tag'));
      for (const name of named) expect([name, safety?.columns[name]]).toEqual([name, of(name)]);
    }
  }
  const tags = new Set(Array.from(columns.get('nsfw_tag') ?? []));
  expect(tags.size).toBeGreaterThan(1);
});

test('one picture with several captions, as a form: the same number whatever else is asked', async () => {
  const [first, second] = pairs;
  const form = new FormData();
  form.append('image', new Blob([new Uint8Array(first.image)]), 'a.png');
  for (const caption of [second.caption, first.caption, 'something else', first.caption]) {
    form.append('caption', caption);
  }
  form.append('safety', 'false');
  form.append('embeddings', 'base64');
  const answer = await fetch(`${running.url}/v1/score`, { method: 'POST', body: form });
  const { items } = (await answer.json()) as ScoreAnswer;
  expect([answer.status, items.length]).toEqual([200, 1]);
  const [{ scores, image, safety }] = items;
  expect(safety).toBeUndefined();
  expect(scores.length).toBe(4);
  expect(scores[1].similarity).toBe(columns.get('clip_demo_similarity_score')?.[0]);
  expect(scores[3]).toEqual(scores[1]);
  // The cosine is that of the embeddings which are given.
  const vectors = [image.embedding, scores[1].embedding].map((text) => {
    const bytes = new Uint8Array(Buffer.from(String(text), 'base64'));
    return new Float32Array(bytes.buffer);
  });
  const dot = vectors[0].reduce((sum, value, i) => sum + value * vectors[1][i], 0);
  expect(Math.fround(dot)).toBe(scores[1].similarity);
});

test('a form may hold the request as JSON that names its files', async () => {
  const form = new FormData();
  const request = {
    items: [
      { image: { part: 'b' }, captions: [pairs[1].caption] },
      { image: { part: 'a' }, captions: [pairs[0].caption] },
    ],
    safety: false,
  };
  form.append('request', JSON.stringify(request));
  form.append('a', new Blob([new Uint8Array(pairs[0].image)]), 'a');
  form.append('b', new Blob([new Uint8Array(pairs[1].image)]), 'b');
  const answer = await fetch(`${running.url}/v1/score`, { method: 'POST', body: form });
  const { items } = (await answer.json()) as ScoreAnswer;
  const scores = columns.get('clip_demo_similarity_score');
  expect(items.map((item) => item.scores[0].similarity)).toEqual([scores?.[1], scores?.[0]]);
});

test('embeddings are those of the npz, before they are rounded; numbers and base64 are one', async () => {
  const images = pairs.slice(0, 3).map(({ image }) => ({ base64: base64(image) }));
  const captions = pairs.slice(0, 3).map(({ caption }) => caption);
  const answer = await ask<EmbedAnswer>('/v1/embed', { images, captions });
  const encoded = await ask<EmbedAnswer>('/v1/embed', { images, captions, embeddings: 'base64' });
  for (const [kind, i] of [0, 1, 2].flatMap((i) => [['images', i] as const, ['captions', i] as const])) {
    const { embedding } = answer[kind][i];
    if (typeof embedding === 'string') throw new Error('numbers were asked for');
    const bytes = Buffer.from(String(encoded[kind][i].embedding), 'base64');
    expect([...new Float32Array(new Uint8Array(bytes).buffer)]).toEqual(embedding);
    expect(Math.hypot(...embedding)).toBeCloseTo(1, 6);
    expect(embedding.length).toBe(model.clip.dim);
  }
  const direct = await model.clip.embedTexts([model.tokenizer.encode(captions[0]).ids]);
  expect(answer.captions[0].embedding).toEqual([...direct]);
  const stored = await readMatrix(await openFolder(out).open('demo-00000.npz'), 'demo-00000.npz', 'demo_img');
  const given = Float32Array.from(answer.images.flatMap(({ embedding }) => embedding as number[]));
  expect(roundToFloat16(given)).toEqual(stored.data.slice(0, given.length));
});

test('safety alone gives what scoring gives beside the scores', async () => {
  const images = pairs.slice(0, 5).map(({ image }) => ({ base64: base64(image) }));
  const answer = await ask<SafetyAnswers>('/v1/safety', { images });
  expect(answer.images.map(({ safety }) => safety.punsafe)).toEqual(
    Array.from({ length: 5 }, (_, row) => columns.get('punsafe')?.[row]),
  );
});

test('zero-shot classification is open_clip’s: cosines with the mean prompts, and their softmax', async () => {
  const golden = fixtureJson<{
    labels: string[];
    templates: string[];
    similarities: number[][];
    probabilities: number[][];
  }>('clip/zero-shot.json');
  const { labels, templates, similarities, probabilities } = golden;
  const images = pairs.slice(0, similarities.length).map(({ image }) => ({ base64: base64(image) }));
  const answer = await ask<ClassifyAnswer>('/v1/classify', { images, labels, templates });
  for (const [i, picture] of answer.images.entries()) {
    expect(picture.labels.map(({ label }) => label)).toEqual(labels);
    for (const [k, { similarity, probability }] of picture.labels.entries()) {
      expect(Math.abs(similarity - similarities[i][k])).toBeLessThan(1e-6);
      expect(Math.abs(probability - probabilities[i][k])).toBeLessThan(1e-5);
    }
    expect(labels.indexOf(picture.best)).toBe(probabilities[i].indexOf(Math.max(...probabilities[i])));
  }
});

test('models says what is here: fingerprints, heads, limits', async () => {
  const answer = (await (await fetch(`${running.url}/v1/models`)).json()) as ModelsAnswer;
  expect(answer.models).toMatchObject([
    {
      ...{ name: 'demo', slug: 'demo', fingerprint, default: true, dim: model.clip.dim },
      heads: [{ name: 'demo_concepts', columns: ['safety_flags'] }],
    },
  ]);
  expect([answer.nsfwjs, answer.urls]).toEqual([true, false]);
  expect(answer.limits['pairs']).toBe(256);
});
