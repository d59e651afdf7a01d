/**
 * Takes samples out of shards that are written already, in place. Only shards that hold one of them are written anew,
 * each whole or not at all; all other files keep their bytes and times. What is left of a shard keeps its very bytes,
 * headers and members that belong to no sample included.
 *
 * Each shard is read once to find the samples; one that has any is read a second time and written without them. A run
 * that is stopped between leaves whole shards; done again, it finishes, and puts the counts beside them right.
 */
import { CancelledError, OutputError, ShardError } from '../errors.ts';
import type { ByteSource, Folder } from '../io/bytes.ts';
import { type Gunzip, gunzipAnywhere } from '../io/gunzip.ts';
import { ChunkPool } from '../io/pool.ts';
import { RECORD } from '../tar/format.ts';
import type { UidSet } from '../uids/uid-set.ts';
import { type PairOptions, uidIfKnown } from '../webdataset/pair.ts';
import { readSamples } from '../webdataset/samples.ts';
import { withoutWrites } from './dry.ts';
import { updateCounts } from './remove-counts.ts';
import type { ReshardInput, ReshardReport } from './reshard.ts';

export interface RemoveOptions {
  /** Where the uid comes from; must be what scoring used (`PairOptions.uid`). */
  uid?: string;
  /** Count everything and write nothing. */
  dryRun?: boolean;
  signal?: AbortSignal;
  gunzip?: Gunzip;
  onSample?: (removed: boolean) => void;
  onBytes?: (bytes: number) => void;
  onShard?: (shard: ShardRemoval) => void;
}

export interface ShardRemoval {
  /** File name. */
  name: string;
  seen: number;
  removed: number;
  /** Samples whose uid cannot be known: they stay. */
  noUid: number;
  /** The shard cannot be read, or not written anew: it is as it was. */
  error?: ShardError | OutputError;
}

export interface RemoveReport {
  seen: number;
  removed: number;
  /** Samples whose uid cannot be known: they stay. */
  noUid: number;
  notFound: ReshardReport['notFound'];
  shards: ShardRemoval[];
}

/** A shard of the folder: `source` reads the file `name`. */
export interface ShardFile extends ReshardInput {
  name: string;
}

const NAMED = 5;

/** Throws `OutputError` where the files of counts cannot be written, and `CancelledError`. */
export async function removeSamples(
  folder: Folder,
  shards: readonly ShardFile[],
  uids: UidSet,
  options: RemoveOptions = {},
): Promise<RemoveReport> {
  const out = options.dryRun ? withoutWrites(folder) : folder;
  const report: RemoveReport = {
    seen: 0,
    removed: 0,
    noUid: 0,
    notFound: { count: 0, first: [] },
    shards: [],
  };
  const found = new Uint8Array(uids.size);
  const pool = new ChunkPool();
  try {
    for (const shard of shards) {
      const result = await removeFrom(out, shard, uids, { ...options, pool, found });
      report.seen += result.seen;
      report.removed += result.removed;
      report.noUid += result.noUid;
      report.shards.push(result);
      options.onShard?.(result);
    }
  } finally {
    // Also where the run is stopped: the shards before are written.
    await updateCounts(out, report.shards, (index) => found[index] !== 0, uids);
  }
  for (let i = 0; i < uids.size; i++) {
    if (found[i] !== 0 || uids.find(uids.at(i)) !== i) continue;
    report.notFound.count++;
    if (report.notFound.first.length < NAMED) report.notFound.first.push(uids.at(i));
  }
  return report;
}

async function removeFrom(
  out: Folder,
  shard: ShardFile,
  uids: UidSet,
  options: RemoveOptions & { pool: ChunkPool; found: Uint8Array },
): Promise<ShardRemoval> {
  try {
    const { seen, noUid, indexes, ranges, isPacked } = await scanShard(shard, uids, options);
    if (indexes.length > 0 && isPacked) {
      throw new OutputError('a packed shard cannot be written anew in place', {
        ...{ file: shard.source.name, hint: 'Unpack it (gunzip), or reshard the folder without these uids' },
      });
    }
    if (indexes.length > 0) await rewrite(out, shard, ranges, options.signal);
    for (const index of indexes) options.found[index] = 1;
    return { name: shard.name, seen, removed: indexes.length, noUid };
  } catch (error) {
    if (!(error instanceof ShardError) && !(error instanceof OutputError)) throw error;
    return { name: shard.name, seen: 0, removed: 0, noUid: 0, error };
  }
}

/** Everything outside of the ranges, the end of the archive included, filled up to a whole record if it was one. */
async function rewrite(
  out: Folder,
  { name, source }: ShardFile,
  ranges: readonly [number, number][],
  signal: AbortSignal | undefined,
): Promise<void> {
  const sink = await out.create(name);
  try {
    let offset = 0;
    let written = 0;
    let next = 0;
    for await (const chunk of source.stream({ signal })) {
      if (signal?.aborted) throw new CancelledError();
      const end = offset + chunk.length;
      while (offset < end) {
        const [from, to] = ranges[next] ?? [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
        const stop = Math.min(end, offset < from ? from : to);
        if (offset < from) {
          await sink.write(chunk.subarray(chunk.length - (end - offset), chunk.length - (end - stop)));
          written += stop - offset;
        }
        offset = stop;
        if (offset >= to) next++;
      }
    }
    if (offset % RECORD === 0 && written % RECORD > 0)
      await sink.write(new Uint8Array(RECORD - (written % RECORD)));
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

interface Scan {
  seen: number;
  noUid: number;
  /** In the set of uids, one for each sample to be removed. */
  indexes: number[];
  /** Of their members in the tar, in its order. */
  ranges: [number, number][];
  isPacked: boolean;
}

async function scanShard(
  { source, shard }: ShardFile,
  uids: UidSet,
  { uid, signal, gunzip, onSample, onBytes, pool }: RemoveOptions & { pool: ChunkPool },
): Promise<Scan> {
  const scan: Scan = { seen: 0, noUid: 0, indexes: [], ranges: [], isPacked: false };
  const pair: PairOptions = { shardBase: shard, uid };
  const unpack: Gunzip = (stream, name) => {
    scan.isPacked = true;
    return (gunzip ?? gunzipAnywhere)(stream, name);
  };
  const stream = counted(source, { signal, pool }, onBytes);
  for await (const sample of readSamples(stream, { shard, signal, gunzip: unpack, pool })) {
    if (signal?.aborted) throw new CancelledError();
    const known = uidIfKnown(sample, pair);
    const index = known === undefined ? -1 : uids.find(known);
    if (known === undefined) scan.noUid++;
    if (index >= 0) {
      scan.indexes.push(index);
      scan.ranges.push(...sample.ranges);
    }
    scan.seen++;
    onSample?.(index >= 0);
  }
  return scan;
}

async function* counted(
  source: ByteSource,
  options: { signal?: AbortSignal; pool: ChunkPool },
  onBytes?: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of source.stream(options)) {
    onBytes?.(chunk.length);
    yield chunk;
  }
}
