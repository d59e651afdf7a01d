import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { clipGroup, slugOf } from '../metadata/columns.ts';
import { inspectFolder, readStats } from '../metadata/folder.ts';
import { openParquet, type ParquetFile } from '../metadata/parquet-read.ts';

/** The parquets of one or more folders that count, in the order of their names. */
export interface OpenedMetadata {
  files: ParquetFile[];
  /** The shards of folders that Shardsieve wrote. */
  own: { folder: Folder; shards: string[] }[];
  /** What cannot be known of a folder, and what was left out on request. */
  notes: string[];
}

export interface OpenOptions {
  /** A shard with files and without its `_stats.json` was interrupted; leaving it out loses its rows. */
  onIncomplete?: 'error' | 'skip';
}

/** Opens every parquet. Throws `MetadataError` where there is none, or where a shard was left half written. */
export async function openMetadata(
  folders: readonly Folder[],
  options: OpenOptions = {},
): Promise<OpenedMetadata> {
  const files: ParquetFile[] = [];
  const own: OpenedMetadata['own'] = [];
  const notes: string[] = [];
  for (const folder of folders) {
    const there = await inspectFolder(folder);
    notes.push(...there.notes);
    if (there.shards.length === 0 && there.committed.size === 0) {
      throw new MetadataError('no metadata here: no .parquet file', { file: folder.label });
    }
    let shards = there.shards;
    if (there.kind === 'shardsieve') {
      const parquets = new Set(shards);
      const halves = [
        ...shards.filter((shard) => !there.committed.has(shard)),
        ...[...there.committed].filter((shard) => !parquets.has(shard)),
      ];
      if (halves.length > 0) {
        if (options.onIncomplete !== 'skip') throw incomplete(folder.label, halves);
        notes.push(`${folder.label}: left out ${list(halves)}, not fully written`);
      }
      shards = shards.filter((shard) => there.committed.has(shard));
      own.push({ folder, shards });
    }
    for (const shard of shards)
      files.push({
        ...(await openParquet(folder, `${shard}.parquet`)),
        name: `${folder.label}/${shard}.parquet`,
      });
  }
  return { files, own, notes };
}

/**
 * The column to select by: the one asked for, else the only score there is. Throws `UsageError` naming the
 * choices, and the nearest one where a name looks mistyped.
 */
export function chooseColumn(files: readonly ParquetFile[], asked?: string): string {
  const all = new Set(files.flatMap((file) => file.columns.map(({ name }) => name)));
  const scores = [...all].filter((name) => slugOf(name) !== undefined).sort();
  if (asked === undefined) {
    if (scores.length === 1) return scores[0];
    throw new UsageError(
      scores.length === 0
        ? 'there is no clip_…_similarity_score column'
        : 'there is more than one score to select by',
      { hint: `Name one with --column: ${(scores.length > 0 ? scores : numeric(files)).join(', ')}` },
    );
  }
  // `b32` is understood as its score column.
  const column = all.has(asked) ? asked : `clip_${asked}_similarity_score`;
  if (!all.has(column)) {
    const choices = scores.length > 0 ? scores : numeric(files);
    const nearest = choices
      .map((name) => ({ name, away: distance(name, asked) }))
      .sort((a, b) => a.away - b.away)[0];
    const guess = nearest && nearest.away <= 1 + asked.length / 4 ? `Did you mean ${nearest.name}? ` : '';
    throw new UsageError(`no column ${asked}`, {
      column: asked,
      hint: `${guess}There is ${choices.join(', ') || 'no score'}`,
    });
  }
  const without = files.filter((file) => !file.columns.some(({ name }) => name === column));
  if (without.length > 0) {
    throw new MetadataError(
      `${without.length} of ${files.length} files have no column ${column}: ${list(without.map(({ name }) => name))}`,
      {
        column,
        hint: 'Score these shards with the same model, or select by another column',
      },
    );
  }
  return column;
}

/** Shards of Shardsieve's folders whose column no fingerprint vouches for: an addition was interrupted there. */
export async function unvouched(own: OpenedMetadata['own'], column: string): Promise<string[]> {
  const slug = slugOf(column);
  const found: string[] = [];
  for (const { folder, shards } of own) {
    for (const shard of shards) {
      const stats = await readStats(folder, shard);
      const clip = slug !== undefined && stats?.groups[clipGroup(slug)] !== undefined;
      const listed = Object.values(stats?.columns ?? {}).some((names) => names.includes(column));
      if (!clip && !listed) found.push(shard);
    }
  }
  return found;
}

export function incomplete(label: string, shards: readonly string[]): MetadataError {
  return new MetadataError(`${label} holds ${list(shards)} not fully written, so rows would be missing`, {
    hint: 'Run score again to finish them',
  });
}

function numeric(files: readonly ParquetFile[]): string[] {
  const columns = files.flatMap((file) =>
    file.columns.filter(({ type }) => type === 'FLOAT' || type === 'DOUBLE'),
  );
  return [...new Set(columns.map(({ name }) => name))].sort();
}

function list(names: readonly string[]): string {
  return names.length <= 5
    ? names.join(', ')
    : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
