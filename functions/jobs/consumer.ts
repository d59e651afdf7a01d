/** What the queue delivers. */
import { BusyError, CancelledError, messageOf, ShardError, UsageError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { recordUnfinished } from '../../src/run/outcome.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import type { JobShard } from '../app/jobs.ts';
import { type Bucket, bodyOf } from '../workers/bucket.ts';
import { bucketFolder } from '../workers/storage.ts';
import type { JobEngine, JobLimits, JobWork } from './engine.ts';
import type { ShardProgress } from './lease.ts';
import { progressOf } from './progress.ts';
import {
  decodeJson,
  encodeJson,
  type Failure,
  failedKey,
  type JobMessage,
  type JobRecord,
  jobKey,
  REFUSED,
  shardsKey,
  stateKey,
  toHeader,
} from './records.ts';
import { isFinal, type ShardContext, workOnShard } from './shard.ts';
import type { ShardStore } from './stores.ts';

/** The part of a queue's binding that is used here. */
export interface JobQueue {
  send(body: JobMessage, options?: { delaySeconds?: number }): Promise<unknown>;
  sendBatch(messages: { body: JobMessage }[]): Promise<unknown>;
}

/** A message as it was delivered. */
export interface Delivered {
  readonly id: string;
  /** From 1. */
  readonly attempts: number;
  readonly body: JobMessage;
  ack(): void;
  retry(options?: { delaySeconds?: number }): void;
}

export interface JobPlace {
  /** Where a prefix of shards is listed. */
  pool: Bucket;
  shards: ShardStore;
  /** Origins at which shards may lie, as `shards` has them. */
  origins: readonly string[];
  /** Where metadata and the jobs' own objects lie. */
  bucket: Bucket;
  queue: JobQueue;
  engine: JobEngine;
  limits: JobLimits;
  /** Hex SHA-256 of a shard, for its stats; absent: they have none. */
  sha256?(source: ByteSource): Promise<string | undefined>;
  now(): number;
  log(line: {
    level: 'info' | 'warn' | 'error';
    message: string;
    job: string;
    shard?: string;
    error?: string;
  }): void;
  /** For tests: see `ShardContext`. */
  onStep?: ShardContext['onStep'];
}

/** Of a job whose messages were lost: a queue keeps them for two weeks at most. */
export const ABANDONED_MS = 30 * 24 * 3600 * 1000;
/** Messages that one `sendBatch` takes. */
const SEND_BATCH = 100;

/** Works on one message, and is done with it or has it come again. Throws nothing. */
export async function consume(place: JobPlace, message: Delivered): Promise<void> {
  const { body, attempts } = message;
  const shard = body.kind === 'shard' ? body.shard : undefined;
  try {
    await handle(place, message);
    message.ack();
  } catch (error) {
    // Somebody else has gone on. This delivery must not end the message that they may have been given, too.
    const isOvertaken = error instanceof CancelledError;
    const level = isOvertaken ? 'info' : 'warn';
    place.log({ level, message: 'will be tried again', job: body.job, shard, error: messageOf(error) });
    message.retry({ delaySeconds: backOff(place.limits, attempts) });
  }
}

/** Works on a message that was given up: the reason is recorded, so that the job can say it. */
export async function bury(place: JobPlace, message: Delivered): Promise<void> {
  const { body } = message;
  try {
    if (body.kind === 'shard') {
      const record = await recordOf(place.bucket, body.job);
      const noted = record && (await progressIn(place.bucket, stateKey(record.out, body.shard)))?.failure;
      const failure = noted ?? {
        problem: 'stopped',
        message:
          'the Worker was stopped each time without saying why: most often its memory or CPU time was not enough',
      };
      await recordFailure(place.bucket, body.job, body.shard, failure);
      place.log({
        level: 'error',
        message: 'given up',
        job: body.job,
        shard: body.shard,
        error: failure.message,
      });
    } else {
      // Without these a job never ends; the queue has tried, so they come back after the longest pause.
      await place.queue.send(body, { delaySeconds: place.limits.retrySeconds[1] });
    }
    message.ack();
  } catch (error) {
    place.log({ level: 'error', message: 'cannot be given up', job: body.job, error: messageOf(error) });
    message.retry({ delaySeconds: place.limits.retrySeconds[1] });
  }
}

async function handle(place: JobPlace, message: Delivered): Promise<void> {
  const { bucket, queue, limits } = place;
  const { body } = message;
  const record = await recordOf(bucket, body.job);
  if (record === undefined) {
    place.log({ level: 'warn', message: 'a message of a job that is not there', job: body.job });
  } else if (body.kind === 'start') {
    const shards = await shardsOf(bucket, body.job);
    for (let at = 0; at < shards.length; at += SEND_BATCH) {
      const some = shards.slice(at, at + SEND_BATCH);
      await queue.sendBatch(
        some.map((shard) => ({ body: { kind: 'shard', job: body.job, piece: 0, ...shard } })),
      );
    }
    const [waited] = limits.settleSeconds;
    await queue.send({ kind: 'settle', job: body.job, waited }, { delaySeconds: waited });
  } else if (body.kind === 'settle') {
    if (await settle(place, record)) return;
    const waited = Math.min(limits.settleSeconds[1], 2 * body.waited);
    await queue.send({ ...body, waited }, { delaySeconds: waited });
  } else {
    await shardMessage(place, record, { id: message.id, attempts: message.attempts, body });
  }
}

async function shardMessage(
  place: JobPlace,
  record: JobRecord,
  { id, attempts, body }: Pick<Delivered, 'id' | 'attempts'> & { body: JobMessage & { kind: 'shard' } },
): Promise<void> {
  const { bucket, queue, limits } = place;
  const { job, shard, key, piece } = body;
  try {
    const work = await workOf(place, record);
    const context = { ...place, ...work, load: () => loaded(work) };
    const outcome = await workOnShard(context, { shard, key }, { id, attempts, piece });
    if (outcome.state === 'held') {
      // Sent anew, as a retry would count as a failure.
      await queue.send(body, { delaySeconds: Math.ceil(limits.leaseMs / 1000) });
    } else if (outcome.state === 'next') {
      await queue.send({ ...body, piece: outcome.piece });
      await place.onStep?.('sent', shard);
    }
  } catch (error) {
    if (!isFinal(error)) throw error;
    const problem = error instanceof ShardError ? error.problem : REFUSED;
    await recordFailure(bucket, job, shard, { problem, message: messageOf(error) });
    place.log({ level: 'warn', message: 'failed', job, shard, error: messageOf(error) });
  }
}

/** Says in the folder what failed, once nothing is left to do. False: not yet. */
async function settle({ bucket, now, log }: JobPlace, record: JobRecord): Promise<boolean> {
  if (now() - Date.parse(record.created) > ABANDONED_MS) {
    log({ level: 'error', message: 'not finished in a month, and not looked at any more', job: record.id });
    return true;
  }
  const shards = await shardsOf(bucket, record.id);
  const progress = await progressOf(bucket, record, shards);
  if (progress.state !== 'finished') return false;
  const failed = progress.failed.map(({ shard, problem, message }) => ({ shard, problem, message }));
  const names = new Set(failed.map(({ shard }) => shard));
  const finished = shards.map(({ shard }) => shard).filter((shard) => !names.has(shard));
  const folder = bucketFolder(bucket, `${record.out}/`);
  await recordUnfinished(folder, undefined, { pending: [], failed, finished });
  return true;
}

async function workOf({ engine, limits }: JobPlace, record: JobRecord): Promise<JobWork> {
  if (engine.models.length === 0) throw new BusyError('no model is loaded just now', 1);
  const model = engine.models.find(({ slug }) => slug === record.model);
  if (model === undefined) throw new UsageError(`the model ${record.model} of this job is not here any more`);
  const { fingerprint } = model.entry;
  if (fingerprint !== record.fingerprint) {
    throw new UsageError(
      `the model ${record.model} of this job has been replaced: it was ${record.fingerprint}`,
      {
        hint: `It is ${fingerprint} now; make another job, in another folder, since scores of both are not mixed`,
      },
    );
  }
  return { record, model, engine, limits, annotators: await engine.annotators(record.safety, model) };
}

/** Models that this isolate has loaded: as many as it is configured with. */
const inMemory = new WeakMap<JobWork['model'], Promise<ScoreModel>>();

function loaded({ model }: JobWork): Promise<ScoreModel> {
  let loading = inMemory.get(model);
  if (loading === undefined) {
    loading = model.load();
    inMemory.set(model, loading);
    loading.catch(() => inMemory.delete(model));
  }
  return loading;
}

export async function recordOf(bucket: Bucket, job: string): Promise<JobRecord | undefined> {
  const body = bodyOf(await bucket.get(jobKey(job)));
  return body === undefined ? undefined : decodeJson<JobRecord>(await body.arrayBuffer());
}

export async function shardsOf(bucket: Bucket, job: string): Promise<JobShard[]> {
  const body = bodyOf(await bucket.get(shardsKey(job)));
  return body === undefined ? [] : decodeJson<JobShard[]>(await body.arrayBuffer());
}

async function progressIn(bucket: Bucket, key: string): Promise<ShardProgress | undefined> {
  const body = bodyOf(await bucket.get(key));
  return body === undefined ? undefined : decodeJson<ShardProgress>(await body.arrayBuffer());
}

/** Kept beside the object too, where its name alone has to be listed. */
async function recordFailure(bucket: Bucket, job: string, shard: string, failure: Failure): Promise<void> {
  const short = { ...failure, message: failure.message.slice(0, 300) };
  await bucket.put(failedKey(job, shard), encodeJson(failure), {
    customMetadata: { failure: toHeader(short) },
  });
}

function backOff({ retrySeconds: [first, most] }: JobLimits, attempts: number): number {
  return Math.min(most, first * 2 ** (attempts - 1));
}
