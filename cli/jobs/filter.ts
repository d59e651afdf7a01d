import { join as joinPath } from 'node:path';
import { AccountingError, ShardsieveError, UsageError } from '../../src/errors.ts';
import { failuresAllowed, type MaxFailed } from '../../src/run/outcome.ts';
import { checkTotals, type ScoreTotals } from '../../src/run/totals.ts';
import type { ReshardReport } from '../../src/subset/reshard.ts';
import { type ReshardOptions, reshardShards } from './reshard.ts';
import { type ScoreOptions, scoreShards } from './score.ts';
import { type FilterChoice, type SelectTotals, selectSubset } from './select.ts';

export interface FilterOptions
  extends ScoreOptions,
    FilterChoice,
    Pick<ReshardOptions, 'names' | 'shardSize' | 'shardBytes' | 'shardFormat'> {
  /** Select and reshard although a shard failed. */
  allowFailed?: boolean;
  /** Called before each of the three steps. */
  onStep?: (step: 'score' | 'select' | 'reshard') => void;
  /** What scoring did, before it is decided whether the run goes on. */
  onScored?: (totals: ScoreTotals) => void;
}

export interface FilterTotals {
  score: ScoreTotals;
  select: SelectTotals;
  reshard: ReshardReport;
  /** The folders and the file that were written. */
  paths: { metadata: string; subset: string; shards: string };
}

/**
 * A run that stopped before selecting, because shards failed or ended early. What was whole of the latter is in the
 * metadata, as are the other shards.
 */
export class ShardsFailedError extends ShardsieveError {
  readonly totals: ScoreTotals;
  constructor(totals: ScoreTotals, names: readonly string[]) {
    super(
      'shard',
      `${names.length} of the shards failed or ended early: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`,
      {
        hint: `Nothing was selected. Mend them and run again, or add ${
          totals.shards.failed.length > 0 ? '--allow-failed' : '--allow-truncated'
        }`,
      },
    );
    this.name = 'ShardsFailedError';
    this.totals = totals;
  }
}

/** `DIR/metadata`, `DIR/subset.npy` and `DIR/shards`. */
export function filterPaths(out: string): FilterTotals['paths'] {
  const at = (name: string) => joinPath(out, name);
  return { metadata: at('metadata'), subset: at('subset.npy'), shards: at('shards') };
}

/**
 * Score, select and reshard in one run. Throws what the three throw, and `ShardsFailedError` where a shard failed
 * (or ended early, without `allowTruncated`) and `allowFailed` is not set.
 */
export async function filterShards(options: FilterOptions): Promise<FilterTotals> {
  const inputs = typeof options.shards === 'string' ? [options.shards] : options.shards;
  if (inputs.includes('-')) {
    throw new UsageError('filter reads its shards twice, and stdin can be read once', {
      hint: 'Save the tar to a file first; `score` takes stdin',
    });
  }
  if (options.part !== undefined && options.fraction !== undefined) {
    throw new UsageError('a fraction of every part is not the fraction of the whole', {
      hint: 'Score the parts, merge them and select from the whole, or filter the parts by --threshold',
    });
  }
  const paths = filterPaths(options.out);
  options.onStep?.('score');
  const score = await scoreShards({ ...options, out: paths.metadata });
  options.onScored?.(score);
  if (!options.allowFailed && tooManyFailed(score, options)) {
    throw new ShardsFailedError(score, failedShards(score, options));
  }
  checkTotals(score);
  options.onStep?.('select');
  const { filters, threshold, fraction, column, multiset, strict, join, signal } = options;
  const select = await selectSubset({
    ...{ filters, threshold, fraction, column, multiset, strict, join, signal },
    metadata: paths.metadata,
    out: paths.subset,
  });
  options.onStep?.('reshard');
  const reshard = await reshardShards({
    ...options,
    subset: paths.subset,
    out: paths.shards,
    // What failed, or a pilot did not reach, has nothing in the subset.
    only: new Set([...score.shards.done, ...score.shards.reused]),
  });
  if (reshard.notFound.count > 0) {
    throw new AccountingError(
      `${reshard.notFound.count} uids of the subset were not met in the shards, ${reshard.notFound.first.join(', ')} first`,
      {
        hint: 'The metadata folder holds shards that this run was not given, or the inputs changed meanwhile',
      },
    );
  }
  return { score, select, reshard, paths };
}

/** Shards that count as failed: those that could not be read, and those that ended early unless that is allowed. */
export function failedShards(totals: ScoreTotals, options: { allowTruncated?: boolean }): string[] {
  const failed = totals.shards.failed.map(({ shard }) => shard);
  return options.allowTruncated ? failed : [...failed, ...totals.shards.truncated];
}

/** Whether more shards failed than `maxFailed` lets, of all that the run was given; without it, whether any did. */
export function tooManyFailed(
  totals: ScoreTotals,
  options: { allowTruncated?: boolean; maxFailed?: MaxFailed },
): boolean {
  const failed = failedShards(totals, options).length;
  const { done, reused, failed: unread, untouched } = totals.shards;
  const shards = done.length + reused.length + unread.length + untouched.length;
  return failed > (options.maxFailed === undefined ? 0 : failuresAllowed(options.maxFailed, shards));
}
