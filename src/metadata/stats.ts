import { AccountingError, MetadataError } from '../errors.ts';
import type { SourceIdentity } from '../io/bytes.ts';
import { parseJsonObject } from './json.ts';

/**
 * `<shard>_stats.json`: what a shard's other files are worth. It is written last, so a shard without it does
 * not count. Times stand here and nowhere else.
 */
export interface ShardStats {
  shard: string;
  input: SourceIdentity;
  /** `seen = scored + the sum of skipped + the sum of filtered`, always. */
  seen: number;
  scored: number;
  /** Samples by reason; reasons that did not occur are absent. */
  skipped: { [reason: string]: number };
  /** Samples by the filter that dropped them before they were scored; absent where none did. */
  filtered?: { [filter: string]: number };
  /** Equals `scored`; img2dataset's and DataComp's name for it. */
  successes: number;
  /** The shard ended early; the rows are what was whole. */
  truncated?: true;
  /** Set where a pilot took a part of the shard only, naming the pilot: no other run counts the shard as done. */
  pilot?: string;
  /** Captions longer than the context, cut, by slug. */
  captionsTruncated?: { [slug: string]: number };
  /** Slugs whose embeddings lie in the npz; other models were scored without. */
  embeddings?: string[];
  /** ISO 8601, UTC. */
  start_time?: string;
  end_time?: string;
  seconds?: number;
  /** Fingerprints: `rows` for what needs no model, `clip:<slug>` for a model's columns, and later groups. */
  groups: { [group: string]: string };
  /** The parquet's columns by group, but for `clip:<slug>`, whose only one is known by its name. */
  columns: { [group: string]: string[] };
}

/** What a run would put into a shard's files. */
export interface WantedShard {
  input: SourceIdentity;
  groups: { [group: string]: string };
  /** Slugs whose embeddings are wanted beside the scores. */
  embeddings?: readonly string[];
}

export interface ShardState {
  /**
   * - `absent`: nothing committed
   * - `done`: every wanted group is there
   * - `missing_groups`: the rows are there and some groups, or their embeddings, are not
   * - `input_changed`: committed from another version of the input; all of it has to be made again
   * - `conflict`: a group is there with another fingerprint
   */
  state: 'absent' | 'done' | 'missing_groups' | 'input_changed' | 'conflict';
  missing: string[];
  conflicts: { group: string; have: string; want: string }[];
}

/** Decides, from the stats alone, what there is to do for a shard. */
export function shardState(stats: ShardStats | undefined, wanted: WantedShard): ShardState {
  const groups = Object.keys(wanted.groups);
  if (stats === undefined) return { state: 'absent', missing: groups, conflicts: [] };
  if (!sameInput(stats.input, wanted.input))
    return { state: 'input_changed', missing: groups, conflicts: [] };
  const bare = (wanted.embeddings ?? [])
    .filter((slug) => !(stats.embeddings?.includes(slug) ?? true))
    .map((slug) => `clip:${slug}`);
  const missing = groups.filter((group) => stats.groups[group] === undefined || bare.includes(group));
  const conflicts = groups
    .filter((group) => stats.groups[group] !== undefined && stats.groups[group] !== wanted.groups[group])
    .map((group) => ({ group, have: stats.groups[group], want: wanted.groups[group] }));
  const state = conflicts.length > 0 ? 'conflict' : missing.length > 0 ? 'missing_groups' : 'done';
  return { state, missing, conflicts };
}

/** The error for a shard whose group was made with something else; it is never mixed. */
export function conflictError(
  folder: string,
  shard: string,
  conflict: ShardState['conflicts'][number],
): MetadataError {
  const { group, have, want } = conflict;
  const hint = group.startsWith('clip:')
    ? 'Give the other model its own --slug, or write to another --out'
    : 'Use the options of the first run, or write to another --out';
  return new MetadataError(
    `${folder} already holds ${group} made with other settings (fingerprint ${have}, now ${want})`,
    { shard, hint },
  );
}

/**
 * Whether two identities name the same bytes. Folders may move, so only the last part of the name counts. A
 * hash decides where both have one; else the sizes must agree, and the ETags and times where both have them.
 * A stream, of which nothing but the name is known, is never taken for the same.
 */
export function sameInput(a: SourceIdentity, b: SourceIdentity): boolean {
  if (baseName(a.name) !== baseName(b.name)) return false;
  if (a.sha256 !== undefined && b.sha256 !== undefined) return a.sha256 === b.sha256;
  const shared = (['size', 'etag', 'mtimeMs'] as const).filter(
    (key) => a[key] !== undefined && b[key] !== undefined,
  );
  return shared.includes('size') && shared.length > 1 && shared.every((key) => a[key] === b[key]);
}

function baseName(path: string): string {
  return path.split(/[\\/]/).at(-1)!;
}

export function statsName(shard: string): string {
  return `${shard}_stats.json`;
}

/** Checks the sum and puts the fields in their fixed order. Throws `AccountingError`. */
export function completeStats(stats: Omit<ShardStats, 'successes'>): ShardStats {
  const problem = imbalance(stats);
  if (problem !== undefined) throw new AccountingError(problem, { shard: stats.shard });
  const {
    shard,
    input,
    seen,
    scored,
    skipped,
    filtered = {},
    truncated,
    pilot,
    captionsTruncated,
    embeddings,
    groups,
    columns,
    ...times
  } = stats;
  return {
    shard,
    input,
    seen,
    scored,
    skipped: sorted(skipped),
    ...(sumOf(filtered) > 0 ? { filtered: sorted(filtered) } : {}),
    successes: scored,
    ...(truncated ? { truncated } : {}),
    ...(pilot ? { pilot } : {}),
    ...(captionsTruncated ? { captionsTruncated: sorted(captionsTruncated) } : {}),
    ...(embeddings ? { embeddings: [...embeddings].sort() } : {}),
    ...times,
    groups: sorted(groups),
    columns: sorted(columns),
  };
}

/** What is wrong where not every sample was scored, skipped or filtered. */
export function imbalance({
  seen,
  scored,
  skipped,
  filtered = {},
}: Pick<ShardStats, 'seen' | 'scored' | 'skipped' | 'filtered'>): string | undefined {
  const [skips, drops] = [sumOf(skipped), sumOf(filtered)];
  if (seen === scored + skips + drops) return undefined;
  const also = drops > 0 ? `, ${drops} filtered` : '';
  return `${seen} samples seen, but ${scored} scored, ${skips} skipped${also}`;
}

export function sumOf(counts: { [name: string]: number }): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

export function encodeStats(stats: ShardStats): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(stats, null, 2)}\n`);
}

/** Throws `MetadataError` where the file is not stats that Shardsieve wrote. */
export function parseStats(bytes: Uint8Array, file: string): ShardStats {
  const json = parseJsonObject(bytes, file);
  const counts = (value: unknown): value is { [name: string]: number } =>
    isObject(value) && Object.values(value).every((count) => Number.isSafeInteger(count));
  const strings = (value: unknown): value is { [name: string]: string } =>
    isObject(value) && Object.values(value).every((text) => typeof text === 'string');
  const { input, seen, scored, skipped, filtered = {}, groups, columns } = json;
  if (
    !isObject(input) ||
    typeof input['name'] !== 'string' ||
    !Number.isSafeInteger(seen) ||
    !Number.isSafeInteger(scored) ||
    !counts(skipped) ||
    !counts(filtered) ||
    !strings(groups) ||
    !isObject(columns) ||
    !Object.values(columns).every(Array.isArray)
  ) {
    throw new MetadataError('not the stats of a shard that Shardsieve scored', {
      file,
      hint: 'Remove the file to have the shard scored again',
    });
  }
  return json as unknown as ShardStats;
}

function isObject(value: unknown): value is { [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sorted<T>(entries: { [name: string]: T }): { [name: string]: T } {
  return Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)));
}
