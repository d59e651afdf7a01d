import { AccountingError } from '../errors.ts';
import { imbalance, type ShardStats, sumOf } from '../metadata/stats.ts';
import type { TowerRun } from './loaded-models.ts';

/** What a run of scoring did, over all its shards. */
export interface ScoreTotals {
  seen: number;
  scored: number;
  skipped: { [reason: string]: number };
  /** Samples that a filter dropped before they were scored, by filter. */
  filtered: { [filter: string]: number };
  /** Of this run: what had come before in its shard, and so was not embedded again. */
  repeats: { pictures: number; captions: number };
  /** Samples of this run that a pilot did not draw. */
  passedOver: number;
  captionsTruncated: { [slug: string]: number };
  shards: {
    /** Scored in this run, the truncated ones among them. */
    done: string[];
    /** Found finished. */
    reused: string[];
    failed: { shard: string; problem: string; message: string }[];
    truncated: string[];
    /** Not reached, because a pilot ended before. */
    untouched: string[];
  };
  /** What ran the models, where any was loaded. */
  towers: TowerRun[];
  /** Seconds by stage, of all its pieces of work together: those at the same time count each. */
  stages: { [stage: string]: number };
  /** Bytes read in this run. */
  bytesRead: number;
  /** Bytes of all inputs, where all are known. */
  bytesTotal: number | undefined;
}

export function emptyTotals(): ScoreTotals {
  return {
    seen: 0,
    scored: 0,
    skipped: {},
    filtered: {},
    repeats: { pictures: 0, captions: 0 },
    passedOver: 0,
    captionsTruncated: {},
    shards: { done: [], reused: [], failed: [], truncated: [], untouched: [] },
    towers: [],
    stages: {},
    bytesRead: 0,
    bytesTotal: undefined,
  };
}

/** Counts a committed shard, scored now or before. */
export function addStats(totals: ScoreTotals, stats: ShardStats): void {
  totals.seen += stats.seen;
  totals.scored += stats.scored;
  addCounts(totals.skipped, stats.skipped);
  addCounts(totals.filtered, stats.filtered ?? {});
  addCounts(totals.captionsTruncated, stats.captionsTruncated ?? {});
}

/** Names of shards in the order of the plan, whichever was done first. */
export function sortShards({ shards }: ScoreTotals, plan: readonly { shard: string }[]): void {
  const places = new Map(plan.map(({ shard }, i) => [shard, i]));
  const place = (shard: string): number => places.get(shard) ?? -1;
  for (const names of [shards.done, shards.reused, shards.truncated, shards.untouched]) {
    names.sort((a, b) => place(a) - place(b));
  }
  shards.failed.sort((a, b) => place(a.shard) - place(b.shard));
}

function addCounts(into: { [name: string]: number }, from: { [name: string]: number }): void {
  for (const [name, count] of Object.entries(from)) into[name] = (into[name] ?? 0) + count;
}

/**
 * The last check of a run: `seen = scored + skipped + filtered`, and something was scored that could be. Throws
 * `AccountingError`.
 */
export function checkTotals(totals: ScoreTotals): void {
  const problem = imbalance(totals);
  if (problem !== undefined) throw new AccountingError(problem);
  if (totals.scored === 0 && sumOf(totals.filtered) === 0) {
    throw new AccountingError('nothing at all was scored', {
      hint: 'Look at the reasons above and in the *_skipped.jsonl files; --caption and the model may not fit the shards',
    });
  }
}
