/**
 * One delivery of a shard's message: a piece of the shard, or its end.
 *
 * What holds, whatever is delivered how often and whoever dies where: a part is put away before it is counted, counted
 * before the next message is sent, and that is sent before this one is done with. So a delivery after a crash finds what
 * is counted and does the rest again, to the same bytes.
 */
import { needsPictures } from '../../src/annotate/types.ts';
import { AccountingError, MetadataError, ShardError, UsageError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { looksGzipped } from '../../src/io/gunzip.ts';
import { readStats } from '../../src/metadata/folder.ts';
import { conflictError, shardState } from '../../src/metadata/stats.ts';
import { fingerprint } from '../../src/run/fingerprint.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import type { JobShard } from '../app/jobs.ts';
import { type Bucket, deleteAll } from '../workers/bucket.ts';
import { bucketFolder } from '../workers/storage.ts';
import { assemble, partKey, wantedGroups } from './assemble.ts';
import type { JobWork } from './engine.ts';
import { Lease, type ShardProgress } from './lease.ts';
import { partsPrefix, stateKey } from './records.ts';
import type { ShardStore } from './stores.ts';
import { scoreWindow } from './window.ts';

/** Counts up when parts of before cannot be gone on with. */
const VERSION = 1;

export interface ShardContext extends JobWork {
  shards: ShardStore;
  /** Where metadata and the job's own objects lie. */
  bucket: Bucket;
  load(): Promise<ScoreModel>;
  sha256?(source: ByteSource): Promise<string | undefined>;
  now(): number;
  /** For tests: told where the work has come to, and may throw there. */
  onStep?(step: string, shard: string): void | Promise<void>;
}

export interface Delivery {
  /** The message's id. */
  id: string;
  /** From 1. */
  attempts: number;
  piece: number;
}

/** `next`: the piece for which a message is to be sent before this one is done with. */
export type Outcome =
  | { state: 'done' }
  | { state: 'held' }
  | { state: 'busy' }
  | { state: 'next'; piece: number };

/** Throws what stopped it; see `isFinal`. */
export async function workOnShard(
  context: ShardContext,
  item: JobShard,
  delivery: Delivery,
): Promise<Outcome> {
  const { bucket, record, limits, now } = context;
  const { shard } = item;
  const found = await context.shards.find(item.key);
  if (found === undefined) throw new ShardError('missing', 'it is not there', { shard });
  const { name, size, etag, open, isNear } = found;
  const input = { name, size, etag };
  if (await isCommitted(context, shard, input)) {
    await tidy(bucket, record.out, shard);
    return { state: 'done' };
  }
  const fresh: ShardProgress = {
    generation: generationOf(context, input.etag),
    input,
    packed: await isPacked(open(0)),
    ...{ piece: 0, parts: 0, keys: '', place: { offset: 0, globals: {} } },
    counts: { seen: 0, scored: 0, skipped: {}, captionsTruncated: {} },
    started: new Date(now()).toISOString(),
  };
  const { leaseMs } = limits;
  const claim = { message: delivery.id, piece: delivery.piece, now: now(), leaseMs };
  const claimed = await Lease.claim(bucket, stateKey(record.out, shard), fresh, claim);
  if (!('lease' in claimed)) {
    return claimed.state === 'behind' ? { state: 'next', piece: claimed.piece } : claimed;
  }
  const { lease } = claimed;
  try {
    if (lease.progress.ended === undefined) return await workOnPiece(context, shard, lease, open, delivery);
    await assemble(bucket, shard, lease, context, {
      source: open(0),
      now,
      ...(context.sha256 === undefined || !isNear ? {} : { sha256: context.sha256 }),
      onWrite: (name) => context.onStep?.(`write ${name}`, shard),
    });
  } catch (error) {
    await noteFailure(lease, error);
    throw error;
  }
  await context.onStep?.('committed', shard);
  await tidy(bucket, record.out, shard);
  return { state: 'done' };
}

/** Whether trying again would end the same. */
export function isFinal(error: unknown): boolean {
  if (error instanceof ShardError) return error.problem !== 'unreadable';
  return error instanceof UsageError || error instanceof MetadataError || error instanceof AccountingError;
}

async function workOnPiece(
  context: ShardContext,
  shard: string,
  lease: Lease,
  open: (offset: number) => ByteSource,
  { attempts }: Delivery,
): Promise<Outcome> {
  const { bucket, record, limits, now } = context;
  const started = now();
  const loaded = await context.load();
  const most = context.annotators.some(needsPictures) ? limits.judgedSamples : limits.pieceSamples;
  for (let samples = record.window; ; samples += record.window) {
    const { part, next } = await scoreWindow(shard, lease.progress, open, { ...context, loaded });
    await context.onStep?.('scored', shard);
    await bucket.put(partKey(record.out, shard, lease.progress, lease.progress.parts), part);
    await context.onStep?.('put', shard);
    // After a failure in small steps: what stopped the last one may have been the size of the step.
    const isOver =
      next.ended !== undefined || attempts > 1 || samples >= most || now() - started >= limits.pieceMs;
    if (!isOver) {
      await lease.save({ ...next, holder: lease.holder(now(), limits.leaseMs) });
      continue;
    }
    const piece = lease.progress.piece + 1;
    await lease.save({ ...next, piece, holder: undefined, failure: undefined });
    await context.onStep?.('saved', shard);
    return { state: 'next', piece };
  }
}

/** Throws `MetadataError` where the folder holds the shard otherwise: a job adds to no shard and replaces none. */
async function isCommitted(
  context: ShardContext,
  shard: string,
  input: ShardProgress['input'],
): Promise<boolean> {
  const { record, model } = context;
  const folder = bucketFolder(context.bucket, `${record.out}/`);
  const stats = await readStats(folder, shard);
  if (stats === undefined) return false;
  const embeddings = record.embeddings ? [model.slug] : [];
  const { state, conflicts } = shardState(stats, { input, groups: wantedGroups(context), embeddings });
  if (state === 'done') return true;
  if (state === 'conflict') throw conflictError(folder.label, shard, conflicts[0]);
  const why =
    state === 'input_changed'
      ? 'from other bytes than the shard has now'
      : 'without all that this job is to make';
  throw new MetadataError(`${folder.label} already holds it, ${why}; a job replaces nothing`, {
    shard,
    hint: 'Give another out, or remove its _stats.json',
  });
}

async function isPacked(source: ByteSource): Promise<boolean> {
  const head: number[] = [];
  for await (const chunk of source.stream()) {
    head.push(...chunk.subarray(0, 2));
    if (head.length >= 2) break;
  }
  return looksGzipped(Uint8Array.from(head));
}

function generationOf(work: JobWork, etag: string): string {
  const { window, embeddings } = work.record;
  const settings = { kind: 'job', version: VERSION, window, embeddings, groups: wantedGroups(work), etag };
  return fingerprint(settings).slice(0, 16);
}

/** So that a dead letter can say why. What cannot be noted is not worth failing otherwise. */
async function noteFailure(lease: Lease, error: unknown): Promise<void> {
  const problem = error instanceof ShardError ? error.problem : 'failed';
  const message = error instanceof Error ? error.message : String(error);
  await lease.save({ failure: { problem, message } }).catch(() => undefined);
}

async function tidy(bucket: Bucket, out: string, shard: string): Promise<void> {
  await deleteAll(bucket, partsPrefix(out, shard));
  await bucket.delete(stateKey(out, shard));
}
