import { join as joinPath } from 'node:path';
import type { ScoreTotals } from '../../src/run/totals.ts';
import type { ReshardReport } from '../../src/subset/reshard.ts';
import type { RefineReport } from './refine.ts';
import type { ReshardOptions } from './reshard.ts';
import type { ScoreOptions } from './score.ts';
import type { FilterChoice, SelectTotals } from './select.ts';
import { runSteps, type Steps } from './steps.ts';

export interface FilterOptions
  extends ScoreOptions,
    FilterChoice,
    Pick<ReshardOptions, 'names' | 'shardSize' | 'shardBytes' | 'shardFormat'>,
    Pick<Steps, 'allowFailed' | 'fullMetadata' | 'onPlan' | 'onStep' | 'onScored'> {}

export interface FilterTotals {
  score: ScoreTotals;
  /** With `refine`. */
  refine?: RefineReport[];
  select: SelectTotals;
  reshard: ReshardReport;
  /** The folders and the file that were written. */
  paths: { metadata: string; subset: string; shards: string };
}

/** `DIR/metadata`, `DIR/subset.npy` and `DIR/shards`. */
export function filterPaths(out: string): FilterTotals['paths'] {
  const at = (name: string) => joinPath(out, name);
  return { metadata: at('metadata'), subset: at('subset.npy'), shards: at('shards') };
}

/** Score, select and reshard in one run, into one folder. Throws what `runSteps` throws. */
export async function filterShards(options: FilterOptions): Promise<FilterTotals> {
  const paths = filterPaths(options.out);
  const { filters, threshold, fraction, column, multiset, strict, join, lid, signal } = options;
  const { score, refine, select, reshard } = await runSteps({
    ...options,
    score: { ...options, out: paths.metadata },
    select: {
      ...{ filters, threshold, fraction, column, multiset, strict, join, lid, signal },
      metadata: paths.metadata,
      // What this very run did not score, it was asked to leave out.
      allowPartial: true,
      out: paths.subset,
    },
    // The subset is another one when more is scored, so all of it is copied.
    reshard: { ...options, retryFailed: false, subset: paths.subset, out: paths.shards },
  });
  return {
    score: score!,
    ...(refine === undefined ? {} : { refine }),
    select: select!,
    reshard: reshard!,
    paths,
  };
}
