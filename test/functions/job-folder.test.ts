import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobRequest } from '../../functions/app/job-schemas.ts';
import { consume, type JobPlace } from '../../functions/jobs/consumer.ts';
import { createJobs } from '../../functions/jobs/create.ts';
import { JOB_LIMITS } from '../../functions/jobs/engine.ts';
import { encodeJson, failedKey } from '../../functions/jobs/records.ts';
import { shardStore } from '../../functions/jobs/stores.ts';
import { type Bucket, listAll } from '../../functions/workers/bucket.ts';
import { MetadataError } from '../../src/errors.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import { localBucket } from '../helpers/bucket.ts';

let bucket: Bucket;
let dispose: () => Promise<void>;
beforeAll(async () => {
  ({ bucket, dispose } = await localBucket());
});
afterAll(() => dispose?.());

const model = (fingerprint: string): WantedModel => ({
  slug: 'demo',
  entry: { name: 'demo', fingerprint },
  load: () => Promise.reject(new Error('nothing is scored here')),
});
const place = (...models: WantedModel[]): JobPlace => ({
  ...{ pool: bucket, shards: shardStore(bucket), origins: [], bucket, limits: JOB_LIMITS },
  queue: { send: async () => {}, sendBatch: async () => {} },
  engine: {
    models,
    annotators: async () => [],
    decoder: { name: 'none', decode: () => Promise.reject(new Error()) },
  },
  ...{ now: () => Date.now(), log: () => {} },
});
const request = (out: string, more: Partial<JobRequest> = {}): JobRequest => ({
  ...{ shards: ['a.tar'], out, embeddings: true, safety: [], caption: 'txt', uid: 'json', carry: [] },
  ...more,
});

test('a job with other settings is refused, by what differs, until the first is finished', async () => {
  const jobs = createJobs(place(model('f')));
  const first = await jobs.create(request('metadata/one'));
  const same = await jobs.create(request('metadata/one', { shards: ['b.tar'] }));
  await jobs.create(request('metadata/two', { embeddings: false }));
  const other = request('metadata/one', { embeddings: false, caption: 'json:text' });
  const before = await keys('.shardsieve/jobs/');
  const refused: unknown = await jobs.create(other).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(MetadataError);
  expect(String(refused)).toMatch(/metadata\/one with another embeddings, caption/);
  expect(await keys('.shardsieve/jobs/')).toEqual(before);
  const replaced = createJobs(place(model('g'))).create(request('metadata/one'));
  await expect(replaced).rejects.toThrow(/another fingerprint/);
  const failed = encodeJson({ problem: 'missing', message: 'it is not there' });
  await bucket.put(failedKey(first.id, 'a'), failed);
  await expect(jobs.create(other)).rejects.toThrow(same.id);
  await bucket.put(failedKey(same.id, 'b'), failed);
  expect(await jobs.create(other)).toMatchObject({ state: 'running' });
});

test('of many that differ and come at once, one is taken', async () => {
  const jobs = createJobs(place(model('f')));
  const made = await Promise.allSettled(
    [true, false].map((embeddings) => jobs.create(request('metadata/race', { embeddings }))),
  );
  expect(made.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('a shard is tried again while no model is there, and refused by towers that the job was not made for', async () => {
  const { id } = await createJobs(place(model('old'))).create(request('metadata/towers'));
  const deliver = async (...models: WantedModel[]) => {
    const done: string[] = [];
    await consume(place(...models), {
      ...{ id: 'm', attempts: 1, body: { kind: 'shard', job: id, piece: 0, shard: 'a', key: 'a.tar' } },
      ack: () => done.push('ack'),
      retry: () => done.push('retry'),
    });
    return done;
  };
  const progress = () => createJobs(place()).progress(id);
  expect(await deliver()).toEqual(['retry']);
  expect((await progress())?.failed).toEqual([]);
  expect(await deliver(model('new'))).toEqual(['ack']);
  expect((await progress())?.failed).toEqual([
    { shard: 'a', problem: 'refused', message: expect.stringMatching(/replaced: it was old/) },
  ]);
});

async function keys(prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of listAll(bucket, { prefix })) found.push(key);
  return found;
}
