/**
 * What of a list of filters can run before pictures are decoded. The subset shall be the same to the byte, so a filter is
 * moved only where what it drops changes no other filter's answer:
 *
 * - a filter that looks at all rows of the pool, whichever came in (a fraction of the pool, negCLIPLoss), needs all of
 *   them: with one of these, nothing is moved
 * - a filter that looks at the rows that came in (a fraction of the rest, duplicates, caps, methods over embeddings) needs
 *   what the filters before it left: those before it are moved, those after it are not
 * - repeats by uid, text, URL or SHA-256 are dropped early where an earlier row of the same shard surely came in, which
 *   takes that all filters before are moved
 * - `strict` makes an error of a row that cannot be judged: only the first filters are moved, up to one that needs scores
 *
 * All filters are applied again when rows are selected, so the gate only ever leaves out what they drop.
 */
import type { Json } from '../../metadata/table.ts';
import { labelOf } from '../../select/compile.ts';
import type { Filter, LeafFilter, Params } from '../../select/spec.ts';
import type { LeafEnv } from './leaves.ts';
import {
  identityOf,
  inOrder,
  isSure,
  leavesIn,
  leavesOf,
  reach,
  scopeIn,
  type Tree,
  treeOf,
} from './tree.ts';

export interface PlanOptions extends LeafEnv {
  strict?: boolean;
  /** Columns that are copied from the samples' JSON: what type they have depends on all values of a shard. */
  carried?: readonly string[];
}

export interface PlannedFilter {
  /** The filter with its parameters. */
  label: string;
  /** By what its drops are counted: its name, with a number where several have it. */
  name: string;
  when: 'before decoding' | 'partly before decoding' | 'after scores';
  /** What it reads. */
  reads: string;
  /** Why it is not moved, or only partly. */
  why?: string;
}

/** A filter that drops samples before they are decoded. */
export type Early =
  | { kind: 'tree'; name: string; label: string; tree: Tree }
  | { kind: 'unique'; name: string; label: string; by: UniqueBy };

export type UniqueBy = (typeof UNIQUE_BY)[number];
const UNIQUE_BY = ['uid', 'text', 'url', 'sha256'] as const;

export interface FilterPlan {
  filters: PlannedFilter[];
  /** In the order of the filters. Empty where nothing is moved. */
  early: Early[];
  strict: boolean;
}

/** Throws `UsageError` where a file that a filter names is none of its kind. */
export async function planFilters(filters: readonly Filter[], options: PlanOptions): Promise<FilterPlan> {
  const steps = inOrder(filters);
  const { strict = false, carried = [] } = options;
  const plan: FilterPlan = { filters: [], early: [], strict };
  const names = new Map<string, number>();
  let stop = wholeReason(steps, carried);
  for (const filter of steps) {
    const label = labelOf(filter);
    const name = numbered(Object.keys(filter)[0], names);
    const tree = await treeOf(filter, options);
    const reads = isUnique(filter)
      ? filter.unique.by
      : [...new Set(leavesOf(tree).map((leaf) => leaf.reads))].join(', ');
    const scope = scopeIn(filter);
    const sure = isSure(tree);
    const add = (when: PlannedFilter['when'], why?: string) =>
      plan.filters.push({ label, name, when, reads, ...(why === undefined ? {} : { why }) });
    const own = scope === 'row' ? undefined : `it compares rows`;
    if (stop === undefined && own === undefined && reach(tree).out && (sure || !strict)) {
      plan.early.push({ kind: 'tree', name, label, tree });
      if (sure) add('before decoding');
      else add('partly before decoding', 'where it can be told by then');
    } else if (stop === undefined && isUnique(filter) && plan.early.length === plan.filters.length) {
      plan.early.push({ kind: 'unique', name, label, by: filter.unique.by });
      add('partly before decoding', 'repeats within a shard');
    } else add('after scores', own ?? (sure ? stop : undefined) ?? `it reads ${reads}`);
    if (stop !== undefined) continue;
    if (own !== undefined) stop = `${label} comes before it and compares the rows that are left`;
    else if (strict && !sure) stop = `--strict counts what ${label} before it cannot judge`;
  }
  return plan;
}

/** Why all rows are needed, whatever the order. */
function wholeReason(filters: readonly Filter[], carried: readonly string[]): string | undefined {
  const whole = filters.find((filter) => scopeIn(filter) === 'pool');
  if (whole !== undefined) return `${labelOf(whole)} is of the whole pool, so every row is scored`;
  const named = filters.flatMap(leavesIn).flatMap(columnsIn).join('\n').toLowerCase();
  const column = carried.find((name) => named.includes(name.toLowerCase()));
  if (column === undefined) return undefined;
  return `the type of the carried column ${column} depends on every row`;
}

/** What of a filter names columns. */
function columnsIn(filter: LeafFilter): string[] {
  if ('where' in filter) return [filter.where];
  if ('unique' in filter) return [filter.unique.by];
  if ('cap' in filter) return [filter.cap.by, filter.cap.prefer ?? ''];
  return 'score' in filter ? [filter.score.column ?? ''] : [];
}

function isUnique(filter: Filter): filter is { unique: Params<'unique'> & { by: UniqueBy } } {
  return 'unique' in filter && (UNIQUE_BY as readonly string[]).includes(filter.unique.by);
}

function numbered(name: string, names: Map<string, number>): string {
  const count = (names.get(name) ?? 0) + 1;
  names.set(name, count);
  return count === 1 ? name : `${name} ${count}`;
}

/** Counts up when the code drops other samples for the same filters. */
const VERSION = 1;

/** What decides which samples have rows, for `run.json` and its fingerprint; `undefined` where all have. */
export function gateEntry({ early, strict }: FilterPlan): { [field: string]: Json } | undefined {
  if (early.length === 0) return undefined;
  const filters = early.map((one) =>
    one.kind === 'tree' ? identityOf(one.tree) : { unique: { by: one.by } },
  );
  return { version: VERSION, filters, ...(strict ? { strict } : {}) };
}
