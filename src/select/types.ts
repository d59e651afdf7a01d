import type { RowMask } from './mask.ts';
import type { Pool } from './pool.ts';
import type { Spread } from './quantiles.ts';
import type { Batch, ColumnRequest } from './scan.ts';

/** What a filter says of the rows of a pool. A row in neither mask is dropped; no row is in both. */
export interface Verdict {
  keep: RowMask;
  /** Rows that cannot be judged: the score, caption or size is not there. */
  unjudged: RowMask;
}

export const DROP = 0;
export const KEEP = 1;
export const UNJUDGED = 2;
/** What a filter says of one row. */
export type Answer = typeof DROP | typeof KEEP | typeof UNJUDGED;

/** A filter that judges each row by itself: all such filters are answered by one reading of the columns. */
export interface RowFilter {
  kind: 'rows';
  requests: ColumnRequest[];
  found?: Found;
  /** Writes `DROP`, `KEEP` or `UNJUDGED` for each row of the batch. */
  judge(batch: Batch, verdicts: Uint8Array): void | Promise<void>;
}

/** A filter that has to see more than one row: a fraction, duplicates, embeddings. */
export interface PoolFilter {
  kind: 'pool';
  /** Judges all rows of the pool, whichever came in; the others only those. */
  judgesAll?: boolean;
  judge(pool: Pool, given: Given): Promise<Judged>;
}

export interface Given {
  /** Rows that the filters before left. */
  rest: RowMask;
  signal?: AbortSignal;
  /** How far a long filter is, 0 to 1. */
  onProgress?: (share: number) => void;
}

export interface Judged extends Verdict {
  found?: Found;
}

/** What a filter found out: the threshold that a fraction became, say. Plain data, for reports. */
export interface Found {
  column?: string;
  threshold?: number;
  /** Of scores that the filter made itself, which no column holds. */
  spread?: Spread;
  [name: string]: string | number | string[] | Spread | undefined;
}
