/** The end of a shard: its parts become parquet, npz, skipped and stats, the stats last. */
import { AccountingError, messageOf, OutputError, ShardError } from '../../src/errors.ts';
import type { ByteSource, SourceIdentity } from '../../src/io/bytes.ts';
import type { ColumnGroup } from '../../src/metadata/columns.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import { readStats } from '../../src/metadata/folder.ts';
import type { StoredArray } from '../../src/metadata/npz.ts';
import { type ShardStats, shardState, statsName } from '../../src/metadata/stats.ts';
import type { Row, Skipped } from '../../src/metadata/table.ts';
import { rowsEntry } from '../../src/run/fingerprint.ts';
import { joinColumns } from '../../src/score/judge.ts';
import { type Bucket, bodyOf } from '../workers/bucket.ts';
import { bucketFolder } from '../workers/storage.ts';
import type { JobWork } from './engine.ts';
import { type Lease, type ShardProgress, Superseded } from './lease.ts';
import { decodePart, type StoredBlock } from './parts.ts';
import { partsPrefix, toHeader } from './records.ts';

export interface AssembleOptions {
  /** Hex SHA-256 of the shard's bytes as stored, where the platform can have it cheaply. */
  sha256?(source: ByteSource): Promise<string | undefined>;
  source: ByteSource;
  now(): number;
  /** For tests: called before each write, by name. */
  onWrite?(name: string): void | Promise<void>;
}

/** Memory: the rows without embeddings, and once the npz. Throws `Superseded` where another worker is at it by now. */
export async function assemble(
  bucket: Bucket,
  shard: string,
  lease: Lease,
  work: JobWork,
  options: AssembleOptions,
): Promise<ShardStats> {
  const { record, model } = work;
  const { input, counts, ended, started, parts } = lease.progress;
  const key = (index: number) => partKey(record.out, shard, lease.progress, index);
  const gathered = await gather(bucket, parts, key);
  if (
    gathered.rows.length !== counts.scored ||
    gathered.rows.length + gathered.skipped.length !== counts.seen
  ) {
    throw new AccountingError('the parts do not hold what was counted', { shard });
  }
  const folder = bucketFolder(bucket, `${record.out}/`, {
    async mayWrite(name) {
      await options.onWrite?.(name);
      await lease.check();
    },
    describe: (name, bytes) => (name === statsName(shard) ? describeStats(bytes) : undefined),
  });
  const identity: SourceIdentity = { ...input };
  const sha256 = await options.sha256?.(options.source);
  if (sha256 !== undefined) identity.sha256 = sha256;
  const now = options.now();
  // `commitShard` takes away stats that are there, which no worker that comes second may do.
  const guarded = {
    ...folder,
    async remove(name: string) {
      if (name === statsName(shard)) throw new Superseded(name);
      await folder.remove(name);
    },
  };
  const stats: Parameters<typeof commitShard>[2]['stats'] = {
    input: identity,
    seen: counts.seen,
    scored: counts.scored,
    skipped: counts.skipped,
    ...(ended?.truncated ? { truncated: true as const } : {}),
    captionsTruncated: { [model.slug]: 0, ...counts.captionsTruncated },
    start_time: started,
    end_time: new Date(now).toISOString(),
    seconds: (now - Date.parse(started)) / 1000,
    groups: wantedGroups(work),
  };
  const { rows, scores, dim, groups, skipped, blocks } = gathered;
  const clips = [{ slug: model.slug, dim, scores: Float32Array.from(scores) }];
  const stored = storedArrays(bucket, blocks, rows.length, key);
  try {
    return await commitShard(guarded, shard, { table: { rows, clips }, stored, groups, skipped, stats });
  } catch (error) {
    if (!(error instanceof OutputError || error instanceof Superseded)) throw error;
    // Whoever was quicker wrote the same, if it was the same shard.
    const there = await readStats(folder, shard);
    const wanted = {
      input: identity,
      groups: stats.groups,
      embeddings: record.embeddings ? [model.slug] : [],
    };
    if (there !== undefined && shardState(there, wanted).state === 'done') return there;
    throw error;
  }
}

/** Fingerprints of all that a shard of this job has. */
export function wantedGroups({ record, model, annotators }: JobWork): { [group: string]: string } {
  return {
    rows: rowsEntry(record.pair).fingerprint,
    [`clip:${model.slug}`]: model.entry.fingerprint,
    ...Object.fromEntries(annotators.map(({ group, fingerprint }) => [group, fingerprint])),
  };
}

export function partKey(out: string, shard: string, { generation }: ShardProgress, index: number): string {
  return `${partsPrefix(out, shard)}${generation}/${String(index).padStart(6, '0')}`;
}

interface Gathered {
  rows: Row[];
  skipped: Skipped[];
  scores: number[];
  dim: number;
  groups: ColumnGroup[];
  /** By part. */
  blocks: StoredBlock[][];
}

/** All of the parts but their embeddings. */
async function gather(bucket: Bucket, parts: number, key: (index: number) => string): Promise<Gathered> {
  const all: Gathered = { rows: [], skipped: [], scores: [], dim: 0, groups: [], blocks: [] };
  const groups: ColumnGroup[][] = [];
  for (let index = 0; index < parts; index++) {
    const { part, blocks } = decodePart(await readPart(bucket, key(index)));
    for (const row of part.rows) all.rows.push(row);
    for (const line of part.skipped) all.skipped.push(line);
    for (const clip of part.clips) {
      all.dim = clip.dim;
      for (const score of clip.scores) all.scores.push(score);
    }
    groups.push(part.groups);
    all.blocks.push(blocks);
  }
  all.groups = (groups[0] ?? []).map(({ name, columns }, g) => {
    const schema = columns.map((column) => ({ name: column.name, type: column.type as 'string' }));
    return {
      name,
      columns: joinColumns(
        schema,
        groups.map((part) => part[g].columns),
      ),
    };
  });
  return all;
}

function storedArrays(
  bucket: Bucket,
  blocks: readonly StoredBlock[][],
  rows: number,
  key: (index: number) => string,
): StoredArray[] {
  return (blocks[0] ?? []).map(({ name, dim }, b) => ({
    ...{ name, rows, dim },
    async *pieces() {
      for (const [index, part] of blocks.entries()) {
        const { offset, length } = part[b];
        if (length > 0) yield readPart(bucket, key(index), { offset, length });
      }
    },
  }));
}

async function readPart(
  bucket: Bucket,
  key: string,
  range?: { offset: number; length: number },
): Promise<Uint8Array> {
  let why = 'it is not there';
  try {
    const body = bodyOf(await bucket.get(key, range === undefined ? {} : { range }));
    if (body !== undefined) return new Uint8Array(await body.arrayBuffer());
  } catch (error) {
    why = messageOf(error);
  }
  throw new ShardError('unreadable', `a part of it cannot be read: ${why}`, { file: key });
}

/** What a job's progress is made of, to be had by listing. */
function describeStats(bytes: Uint8Array): Record<string, string> {
  const { seen, scored, skipped, truncated } = JSON.parse(new TextDecoder().decode(bytes)) as ShardStats;
  return { stats: toHeader({ seen, scored, skipped, ...(truncated ? { truncated } : {}) }) };
}
