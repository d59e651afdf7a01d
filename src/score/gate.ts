/**
 * What stands before the decoder: filters that are known before scoring drop what they would drop afterwards, so that
 * nothing is decoded or embedded for it. The pipeline only asks; which filters may answer is `run/plan`'s to know.
 */
import type { Row } from '../metadata/table.ts';

export interface Gate {
  /** One shard's: rows are compared with earlier rows of the same shard only. */
  open(): ShardGate;
}

export interface ShardGate {
  /** Asked in the order of the shard. */
  meet(row: Row): Meeting;
}

export interface Meeting {
  /** `undefined` lets the sample on. Rejects with what is not the sample's own fault. */
  readonly dropped: Dropped | undefined | Promise<Dropped | undefined>;
  /** To be called once, whatever became of the sample: whether it has a row now. */
  settle(isScored: boolean): void;
}

/** Why a sample was not scored although it could have been. */
export interface Dropped {
  /** By what it is counted in the stats. */
  filter: string;
  /** The filter with its parameters. */
  detail: string;
}
