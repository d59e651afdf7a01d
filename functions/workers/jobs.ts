/** Jobs over the bindings of a Worker: two buckets, a queue, and the queue of what it gave up. */
import type { ByteSource } from '../../src/io/bytes.ts';
import { bury, consume, type Delivered, type JobPlace } from '../jobs/consumer.ts';

/** What a Worker's `queue` handler is called with. */
export interface Batch {
  readonly queue: string;
  readonly messages: readonly Delivered[];
}

/** @param dead the name of the queue of dead letters. */
export async function consumeBatch(place: JobPlace, batch: Batch, dead: string): Promise<void> {
  // One after another: a Worker has one thread and 128 MB.
  for (const message of batch.messages) {
    if (batch.queue === dead) await bury(place, message);
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
