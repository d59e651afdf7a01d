import { UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { countDistinct, sortUids, type Uids, wordsOf } from '../uids/uids.ts';
import type { SelectEnv } from './env.ts';
import { type EvaluateOptions, evaluate, type Outcome, type Step } from './evaluate.ts';
import type { RowMask } from './mask.ts';
import { type OpenOptions, openPool, type Pool } from './pool.ts';
import { type Spread, spreadOf } from './quantiles.ts';
import type { Filter } from './spec.ts';

export interface SelectOptions extends OpenOptions, EvaluateOptions {
  /** Applied in order; `parseFilters` makes them from what people write. None keeps every row. */
  filters: readonly Filter[];
  env?: SelectEnv;
  /** Also give the spread of each score that a filter goes by; reads these columns once more. */
  explain?: boolean;
}

export interface Selection extends Omit<Outcome, 'kept'> {
  /** Sorted, repeats included. */
  uids: Uids;
  /** Rows read. */
  total: number;
  keptRows: number;
  /** Different uids among them. */
  keptUids: number;
  /** `keptRows − keptUids`. */
  repeats: number;
  /** With `explain`. */
  spreads?: Spread[];
  notes: string[];
}

/**
 * Selects rows of metadata and gives their uids, sorted, as DataComp's baselines do.
 *
 * Memory: 16 bytes a kept row, twice while sorting; two bits a row and filter; a fraction also holds its column,
 * 4 or 8 bytes a row, twice. Throws `UsageError` or `MetadataError`.
 */
export async function selectSubset(folders: readonly Folder[], options: SelectOptions): Promise<Selection> {
  const pool = await openPool(folders, options);
  return selectFrom(pool, options);
}

/** `selectSubset` from an opened pool. */
export async function selectFrom(pool: Pool, options: SelectOptions): Promise<Selection> {
  const { kept, ...outcome } = await evaluate(pool, options.filters, options.env ?? {}, {
    complete: options.explain,
    ...options,
  });
  const uids = sortUids(await keptUids(pool, kept, options.signal));
  const distinct = countDistinct(uids);
  const rows = uids.length / 2;
  const spreads = options.explain ? { spreads: await spreadsOf(pool, outcome.steps, options.signal) } : {};
  return {
    ...outcome,
    uids,
    total: pool.rows,
    keptRows: rows,
    keptUids: distinct,
    repeats: rows - distinct,
    ...spreads,
    notes: pool.notes,
  };
}

/** Spreads of the columns that steps went by, each once. */
async function spreadsOf(pool: Pool, steps: readonly Step[], signal?: AbortSignal): Promise<Spread[]> {
  const columns = steps.flatMap(({ found }) => found).filter(({ threshold }) => threshold !== undefined);
  const known = new Set(pool.columns());
  const names = new Set(
    columns.flatMap(({ column }) => (column !== undefined && known.has(column) ? [column] : [])),
  );
  const spreads: Spread[] = columns.flatMap(({ spread }) => spread ?? []);
  for (const name of names) spreads.push(await spreadOf(pool, name, signal));
  return spreads;
}

/** The uids of the rows in a mask, in order. Throws `MetadataError` naming file and row of what is none. */
export async function keptUids(pool: Pool, kept: RowMask, signal?: AbortSignal): Promise<Uids> {
  if (pool.rows > 0) requireUids(pool);
  const uids: Uids = new BigUint64Array(2 * kept.count());
  const all = wordsOf(uids);
  let to = 0;
  for await (const batch of pool.scan([{ name: 'uid', as: 'uid' }], { only: kept, signal })) {
    const words = batch.uids();
    for (let row = 0; row < batch.rows; row++) {
      if (!kept.get(batch.start + row)) continue;
      for (let from = 4 * row; from < 4 * row + 4; from++) all[to++] = words[from];
    }
  }
  return uids;
}

function requireUids(pool: Pool): void {
  const without = pool.files.find((file) => pool.typeOf(file, 'uid') === undefined);
  if (without) {
    throw new UsageError('no column uid: rows cannot be named', {
      file: without.name,
      column: 'uid',
      hint: 'DataComp’s metadata and Shardsieve’s have one, 32 hex digits a row',
    });
  }
}
