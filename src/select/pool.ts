import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { clipGroup, slugOf } from '../metadata/columns.ts';
import { withoutOutdated } from '../metadata/commit.ts';
import { inspectFolder, readStats } from '../metadata/folder.ts';
import { openParquet, type ParquetFile } from '../metadata/parquet-read.ts';
import { PUNSAFE_GROUP } from '../metadata/run.ts';
import type { ShardStats } from '../metadata/stats.ts';
import { guess } from '../nearest.ts';
import {
  type Batch,
  type ColumnRequest,
  type PoolFile,
  parquetScanner,
  type Scanner,
  type ScanOptions,
} from './scan.ts';

export interface OpenOptions {
  /** A shard with files and without its `_stats.json` was interrupted; leaving it out loses its rows. */
  onIncomplete?: 'error' | 'skip';
  /** Parquets that are open already, by folder and base name: their footers are not read again. */
  opened?: ReadonlyMap<Folder, ReadonlyMap<string, ParquetFile>>;
  /** A platform's own reader, over the opened files. */
  scanner?: (files: readonly PoolFile[]) => Promise<Scanner>;
}

/**
 * The rows that are selected from: the parquets of one or more folders that count, in the order of the folders and
 * of the names in them, their rows in order. A row's place in the pool is its number everywhere in `select`.
 */
export class Pool {
  readonly files: readonly PoolFile[];
  readonly rows: number;
  /** Stats of the shards of Shardsieve's own folders, by file. */
  readonly stats: ReadonlyMap<PoolFile, ShardStats>;
  /** What cannot be known of a folder, and what was left out on request. */
  readonly notes: string[];
  readonly #scanner: Scanner;

  constructor(
    files: readonly PoolFile[],
    scanner: Scanner,
    stats: ReadonlyMap<PoolFile, ShardStats>,
    notes: string[],
  ) {
    this.files = files;
    this.rows = files.reduce((sum, { rows }) => sum + rows, 0);
    this.stats = stats;
    this.notes = notes;
    this.#scanner = scanner;
  }

  /** Batches in the pool's order. Throws `MetadataError` where a file has no such column, or of another kind. */
  scan(requests: readonly ColumnRequest[], options?: ScanOptions): AsyncIterable<Batch> {
    return this.#scanner.scan(this.files, requests, options);
  }

  /** Names of all columns of any file, and joined ones, sorted. */
  columns(): string[] {
    const names = this.files.flatMap((file) => file.parquet.columns.map(({ name }) => name));
    return [...new Set([...names, ...(this.#scanner.joined ?? []).map(({ name }) => name)])].sort();
  }

  /** A column's parquet type in one file, `undefined` where it has none of that name. */
  typeOf(file: PoolFile, column: string): string | undefined {
    const known = [...file.parquet.columns, ...(this.#scanner.joined ?? [])];
    return known.find(({ name }) => name === column)?.type;
  }

  /**
   * Checks that every file has a column, and that no addition of it was interrupted. Throws `UsageError` naming
   * the nearest column where there is none, `MetadataError` where it is in a part of the files only.
   */
  require(column: string): void {
    const without = this.files.filter((file) => this.typeOf(file, column) === undefined);
    if (this.files.length > 0 && without.length === this.files.length) {
      const columns = this.columns();
      throw new UsageError(`no column ${column}`, {
        column,
        hint: `${guess(column, columns)}There is ${columns.join(', ')}`,
      });
    }
    if (without.length > 0) {
      throw new MetadataError(
        `${without.length} of ${this.files.length} files have no column ${column}: ${list(without.map(({ name }) => name))}`,
        { column, hint: 'Give all of them the column, or select by another one' },
      );
    }
    const halves = this.#unvouched(column);
    if (halves.length > 0) throw incomplete(`column ${column}`, halves);
  }

  /** Whether every file has a column that counts. */
  has(column: string): boolean {
    return (
      this.files.every((file) => this.typeOf(file, column) !== undefined) &&
      this.#unvouched(column).length === 0
    );
  }

  /**
   * The score to select by: the one asked for (`b32` is understood as its score column), else the only one there
   * is. Throws `UsageError` naming the choices, and what `require` throws.
   */
  scoreColumn(asked?: string): string {
    const columns = this.columns();
    const scores = columns.filter((name) => slugOf(name) !== undefined);
    if (asked === undefined && scores.length !== 1) {
      throw new UsageError(
        scores.length === 0
          ? 'there is no clip_…_similarity_score column'
          : 'there is more than one score to select by',
        { hint: `Name one with --column: ${(scores.length > 0 ? scores : this.#numeric()).join(', ')}` },
      );
    }
    const column =
      asked === undefined ? scores[0] : columns.includes(asked) ? asked : `clip_${asked}_similarity_score`;
    if (!columns.includes(column)) {
      const choices = scores.length > 0 ? scores : this.#numeric();
      throw new UsageError(`no column ${asked}`, {
        column: asked,
        hint: `${guess(asked!, choices)}There is ${choices.join(', ') || 'no score'}`,
      });
    }
    this.require(column);
    return column;
  }

  /** The type of a score in one file. Throws `MetadataError` where it is absent or holds no floats. */
  floatType(file: PoolFile, column: string): 'FLOAT' | 'DOUBLE' {
    const type = this.typeOf(file, column);
    if (type === 'FLOAT' || type === 'DOUBLE') return type;
    throw new MetadataError(
      type === undefined ? `no column ${column}` : `${column} is ${type}, not a score`,
      {
        file: file.name,
        column,
      },
    );
  }

  /** Shards of Shardsieve's folders whose column no fingerprint vouches for: an addition was interrupted there. */
  #unvouched(column: string): string[] {
    const slug = slugOf(column);
    const found: string[] = [];
    for (const [file, { groups, columns }] of this.stats) {
      if (!file.parquet.columns.some(({ name }) => name === column)) continue;
      const clip = slug !== undefined && groups[clipGroup(slug)] !== undefined;
      const listed = Object.values(columns).some((names) => names.includes(column));
      if (!clip && !listed) found.push(file.shard);
    }
    return found;
  }

  #numeric(): string[] {
    const floats = this.files.flatMap((file) =>
      file.parquet.columns
        .filter(({ type }) => type === 'FLOAT' || type === 'DOUBLE')
        .map(({ name }) => name),
    );
    return [...new Set(floats)].sort();
  }
}

/** Opens every parquet. Throws `MetadataError` where there is none, or where a shard was left half written. */
export async function openPool(folders: readonly Folder[], options: OpenOptions = {}): Promise<Pool> {
  const files: PoolFile[] = [];
  const stats = new Map<PoolFile, ShardStats>();
  const notes: string[] = [];
  const { opened } = options;
  let start = 0;
  for (const folder of folders) {
    const there = await inspectFolder(folder);
    notes.push(...there.notes);
    if (there.shards.length === 0 && there.committed.size === 0) {
      throw new MetadataError('no metadata here: no .parquet file', { file: folder.label });
    }
    let shards = there.shards;
    const vouched = there.kind === 'shardsieve' || there.copy !== undefined;
    if (vouched) {
      const parquets = new Set(shards);
      const expected = new Set([...there.committed, ...(there.copy?.shards ?? [])]);
      const halves = [
        ...shards.filter((shard) => !there.committed.has(shard)),
        ...[...expected].filter((shard) => !parquets.has(shard)),
      ];
      if (halves.length > 0) {
        if (options.onIncomplete !== 'skip') throw incomplete(folder.label, halves);
        notes.push(`${folder.label}: left out ${list(halves)}, not fully written`);
      }
      shards = shards.filter((shard) => there.committed.has(shard));
    }
    for (const shard of shards) {
      const own = vouched ? await readStats(folder, shard) : undefined;
      const current = own && withoutOutdated(own, there);
      // What the folder means by it now, this shard does not have.
      const outdated = own === current ? undefined : new Set(own?.columns[PUNSAFE_GROUP]);
      const parquet = opened?.get(folder)?.get(shard) ?? (await openParquet(folder, `${shard}.parquet`));
      const columns = parquet.columns.filter((column) => !outdated?.has(column.name));
      const name = `${folder.label}/${shard}.parquet`;
      const file: PoolFile = {
        name,
        folder,
        shard,
        parquet: { ...parquet, columns, name },
        start,
        rows: parquet.rows,
      };
      files.push(file);
      start += parquet.rows;
      if (current) stats.set(file, current);
    }
  }
  const scanner = options.scanner === undefined ? parquetScanner : await options.scanner(files);
  return new Pool(files, scanner, stats, notes);
}

function incomplete(label: string, shards: readonly string[]): MetadataError {
  return new MetadataError(`${label} holds ${list(shards)} not fully written, so rows would be missing`, {
    hint: 'Run the command that was writing it again to finish them',
  });
}

function list(names: readonly string[]): string {
  return names.length <= 5
    ? names.join(', ')
    : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
}
