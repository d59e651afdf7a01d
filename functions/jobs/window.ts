/** One window of a shard: read from where the last one ended, scored, and put away as a part. */
import { annotateTable } from '../../src/annotate/table.ts';
import { needsPictures } from '../../src/annotate/types.ts';
import { AccountingError, UsageError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { gunzipAnywhere } from '../../src/io/gunzip.ts';
import type { Column } from '../../src/metadata/columns.ts';
import type { ClipColumns } from '../../src/metadata/table.ts';
import { type ShardEnd, scoreBatches } from '../../src/score/batches.ts';
import { joinClips } from '../../src/score/collect.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import { SeenKeys } from '../../src/webdataset/keys.ts';
import type { JobWork } from './engine.ts';
import type { ShardProgress } from './lease.ts';
import { encodePart, type Part } from './parts.ts';

export interface ScoredWindow {
  part: Uint8Array;
  /** What is to be said of the shard once the part is put away. */
  next: Pick<ShardProgress, 'parts' | 'place' | 'keys' | 'counts' | 'ended'>;
}

/** Opens the shard's bytes as stored from an offset on. */
export type OpenAt = (offset: number) => ByteSource;

/** Throws `ShardError` where nothing of the shard may be used, and what the towers throw. */
export async function scoreWindow(
  shard: string,
  progress: ShardProgress,
  open: OpenAt,
  work: JobWork & { loaded: ScoreModel; signal?: AbortSignal },
): Promise<ScoredWindow> {
  const { record, annotators, engine, limits, loaded, signal } = work;
  const seen = SeenKeys.decode(fromBase64(progress.keys));
  const pictured = annotators.filter(needsPictures);
  const clips: ClipColumns[] = [];
  const judged: Column[][][] = pictured.map(() => []);
  const part: Pick<Part, 'rows' | 'skipped'> = { rows: [], skipped: [] };
  const counts = structuredClone(progress.counts);
  let end: ShardEnd | undefined;
  const needsEmbeddings = annotators.some(({ needs }) =>
    needs.some((need) => need.startsWith('embeddings:')),
  );
  for await (const batch of scoreBatches(sourceAt(shard, progress, open, work), {
    ...{ shard, signal, decoder: engine.decoder, fit: engine.fit ?? 'open_clip', models: [loaded] },
    ...{ pair: record.pair, embeddings: record.embeddings || needsEmbeddings },
    judges: pictured.map(({ pictures }) => pictures),
    from: { ...progress.place, seen },
    limit: record.window,
    window: record.window,
    memory: limits.memory,
    caps: limits.caps,
  })) {
    part.rows.push(...batch.rows);
    part.skipped.push(...batch.skipped);
    clips.push(...batch.clips);
    for (const [j, columns] of batch.judged.entries()) judged[j].push(...columns);
    counts.captionsTruncated[loaded.slug] =
      (counts.captionsTruncated[loaded.slug] ?? 0) + batch.captionsTruncated[loaded.slug];
    end = batch.end;
  }
  if (end === undefined) throw new AccountingError('a window of the shard came to no end', { shard });
  counts.seen += part.rows.length + part.skipped.length;
  counts.scored += part.rows.length;
  for (const { reason } of part.skipped) counts.skipped[reason] = (counts.skipped[reason] ?? 0) + 1;
  if (counts.seen > limits.samples) {
    throw new UsageError(`it has more than ${limits.samples} samples, which is what a job takes`, {
      shard,
      hint: 'Score it with the command line, or cut it with shardsieve reshard',
    });
  }
  const bytes = record.embeddings ? 2 * 2 * loaded.clip.dim * counts.scored : 0;
  if (bytes > limits.embeddingBytes) {
    throw new UsageError(
      `its embeddings take more than ${limits.embeddingBytes} bytes, which is what a job takes`,
      {
        shard,
        hint: 'Leave them out (embeddings: false), score it with the command line, or cut it with shardsieve reshard',
      },
    );
  }
  for (const { key } of [...part.rows, ...part.skipped]) seen.add(key);
  const table = { rows: part.rows, clips: [joinClips(clips, loaded)] };
  const groups = await annotateTable(
    { shard, table, judged: new Map(pictured.map((annotator, j) => [annotator, judged[j]])) },
    annotators,
  );
  const kept = record.embeddings
    ? table.clips
    : table.clips.map(({ image: _, text: __, ...scores }) => scores);
  return {
    part: encodePart({ ...part, clips: kept, groups }),
    next: {
      parts: progress.parts + 1,
      place: end.next ?? progress.place,
      keys: toBase64(seen.encode()),
      counts,
      ...(end.next === undefined ? { ended: { truncated: end.truncated !== undefined } } : {}),
    },
  };
}

/** The shard's bytes, unpacked, from the progress's place on. */
function sourceAt(
  shard: string,
  { packed, place }: ShardProgress,
  open: OpenAt,
  { engine }: JobWork,
): ByteSource {
  if (!packed) return open(place.offset);
  const source = open(0);
  const gunzip = engine.gunzip ?? gunzipAnywhere;
  return { ...source, stream: (options) => behind(gunzip(source.stream(options), shard), place.offset) };
}

async function* behind(stream: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Uint8Array> {
  let left = offset;
  for await (const chunk of stream) {
    if (left < chunk.length) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  // Few enough arguments for any engine.
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (unit) => unit.charCodeAt(0));
}
