/** Jobs over the bindings of a Worker: two buckets, a queue, and the queue of what it gave up. */
import type { ByteSource } from '../../src/io/bytes.ts';
import type { Service } from '../app/service.ts';
import { bury, consume, type Delivered, type JobPlace, type JobQueue } from '../jobs/consumer.ts';
import { JOB_LIMITS, type JobLimits } from '../jobs/engine.ts';
import { servedEngine } from '../jobs/served.ts';
import { parseOrigins, shardStore } from '../jobs/stores.ts';
import type { Bucket } from './bucket.ts';

/** Without all three bindings there are no jobs. */
export interface JobsEnv {
  /** Where shards lie. */
  SHARDS?: Bucket;
  /** Where metadata is written; may be the same bucket. */
  METADATA?: Bucket;
  JOBS?: JobQueue;
  /** Origins at which shards may lie too, with commas between: `https://pool.example`. */
  SHARD_ORIGINS?: string;
}

/** Where a Worker's jobs are done, `undefined` where it is not configured for them. */
export function jobPlace(
  env: JobsEnv,
  service: Service,
  limits: Partial<JobLimits> = {},
): JobPlace | undefined {
  const { SHARDS, METADATA, JOBS, SHARD_ORIGINS = '' } = env;
  if (SHARDS === undefined || METADATA === undefined || JOBS === undefined) return undefined;
  const origins = parseOrigins(SHARD_ORIGINS);
  return {
    ...{ pool: SHARDS, shards: shardStore(SHARDS, origins), origins, bucket: METADATA, queue: JOBS },
    engine: servedEngine(service),
    limits: { ...JOB_LIMITS, ...limits },
    sha256: sha256InWorker,
    now: () => Date.now(),
    log: ({ job, shard, ...line }) =>
      service.log({
        ...line,
        message: `job ${job}${shard === undefined ? '' : `, shard ${shard}`}: ${line.message}`,
      }),
  };
}

/** What a Worker's `queue` handler is called with. */
export interface Batch {
  readonly queue: string;
  readonly messages: readonly Delivered[];
}

/** How the name of a queue of dead letters ends. */
const DEAD = '-dead';

/**
 * What a Worker's `queue` handler does, for its queue and for that of dead letters. `open` finds the model, before each
 * message, as a message may find it gone; what it throws leaves the rest of the batch to be delivered again.
 */
export async function consumeBatch(
  place: JobPlace,
  batch: Batch,
  open: () => Promise<void> = async () => {},
): Promise<void> {
  // One after another: a Worker has one thread and 128 MB.
  for (const message of batch.messages) {
    await open();
    if (batch.queue.endsWith(DEAD)) await bury(place, message);
    else await consume(place, message);
  }
}

/** Workers' own digest of a stream, which costs no JavaScript. */
export async function sha256InWorker(source: ByteSource): Promise<string | undefined> {
  const digester = (crypto as Partial<WorkersCrypto>).DigestStream;
  if (digester === undefined) return undefined;
  const stream = new digester('SHA-256');
  const writer = stream.getWriter();
  for await (const chunk of source.stream()) await writer.write(chunk);
  await writer.close();
  const digest = new Uint8Array(await stream.digest);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

interface WorkersCrypto {
  DigestStream: new (algorithm: string) => WritableStream<Uint8Array> & { digest: Promise<ArrayBuffer> };
}
