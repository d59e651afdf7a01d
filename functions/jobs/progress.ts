/** How far a job is, from what lies in its bucket: nothing is counted anywhere else. */
import { readStats } from '../../src/metadata/folder.ts';
import type { ShardStats } from '../../src/metadata/stats.ts';
import type { JobProgress } from '../app/job-schemas.ts';
import type { JobShard } from '../app/jobs.ts';
import { type Bucket, listAll, type StoredObject } from '../workers/bucket.ts';
import { bucketFolder } from '../workers/storage.ts';
import { type Failure, failedPrefix, type JobRecord, REFUSED, statePrefix } from './records.ts';

const STATS = '_stats.json';
/** Shards under way that are named. */
const NAMED = 100;

/** Beside the stats of a shard, so that a listing is enough. */
type Counted = Pick<ShardStats, 'seen' | 'scored' | 'skipped' | 'truncated'>;

/** What `lease.ts` keeps beside a shard's state. */
interface Under {
  seen: number;
  scored: number;
  size: number;
  offset?: number;
}

export async function progressOf(
  bucket: Bucket,
  record: JobRecord,
  shards: readonly JobShard[],
): Promise<JobProgress> {
  const names = new Set(shards.map(({ shard }) => shard));
  const listed = async (prefix: string, ending: string): Promise<Map<string, StoredObject>> => {
    const found = new Map<string, StoredObject>();
    for await (const object of listAll(bucket, { prefix, delimiter: '/', include: ['customMetadata'] })) {
      if (!object.key.endsWith(ending)) continue;
      const shard = object.key.slice(prefix.length, -ending.length);
      if (names.has(shard)) found.set(shard, object);
    }
    return found;
  };
  // In this order: a shard that is finished meanwhile is counted as under way, not as lost.
  const states = await listed(statePrefix(record.out), '.json');
  const failures = await listed(failedPrefix(record.id), '.json');
  const done = await listed(`${record.out}/`, STATS);
  const failed = [...failures]
    .map(([shard, object]) => ({ shard, ...(noted<Failure>(object, 'failure') ?? UNKNOWN) }))
    // One delivery may be given up while another does the work; what was refused is there, but not as this job wants it.
    .filter(({ shard, problem }) => problem === REFUSED || !done.has(shard));
  for (const { shard } of failed) done.delete(shard);
  const accounting: JobProgress['accounting'] = { seen: 0, scored: 0, skipped: {}, truncated: [] };
  for (const [shard, object] of done) {
    const counted = noted<Counted>(object, 'stats') ?? (await readCounted(bucket, record, shard));
    accounting.seen += counted.seen;
    accounting.scored += counted.scored;
    for (const [reason, count] of Object.entries(counted.skipped)) {
      accounting.skipped[reason] = (accounting.skipped[reason] ?? 0) + count;
    }
    if (counted.truncated) accounting.truncated.push(shard);
  }
  const working = [...states].filter(([shard]) => !done.has(shard) && !failures.has(shard));
  const waiting = shards.length - done.size - failed.length - working.length;
  return {
    id: record.id,
    state: done.size + failed.length === shards.length ? 'finished' : 'running',
    created: record.created,
    out: record.out,
    model: record.model,
    shards: {
      total: shards.length,
      done: done.size,
      failed: failed.length,
      working: working.length,
      waiting,
    },
    accounting,
    working: working.slice(0, NAMED).map(([shard, object]) => {
      const { seen = 0, scored = 0, size = 0, offset } = noted<Under>(object, 'progress') ?? {};
      return { shard, seen, scored, ...(offset === undefined ? {} : { bytes: offset }), size };
    }),
    failed,
  };
}

const UNKNOWN: Failure = { problem: 'failed', message: 'the reason was not kept' };

function noted<T>({ customMetadata }: StoredObject, name: string): T | undefined {
  const text = customMetadata?.[name];
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

/** Of stats that were put there by somebody else. */
async function readCounted(bucket: Bucket, { out }: JobRecord, shard: string): Promise<Counted> {
  return (await readStats(bucketFolder(bucket, `${out}/`), shard)) ?? { seen: 0, scored: 0, skipped: {} };
}
