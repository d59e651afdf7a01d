import type { SampleOutcome } from '../score/shard.ts';

/** What a running job tells whoever watches; the job itself never prints. */
export type RunEvent =
  | { type: 'plan'; shards: number; pending: number; reused: number; bytes: number | undefined }
  | { type: 'model'; slug: string; text: string }
  /** Stored bytes worked through, where no position is known. */
  | { type: 'bytes'; bytes: number }
  /** `position`: stored bytes of its shard that had been read when it was, for the time left. */
  | { type: 'sample'; outcome: SampleOutcome; position?: number; shard?: string }
  /** `bytes`: the size of its input, where known. */
  | {
      type: 'shard';
      shard: string;
      state: 'done' | 'reused' | 'truncated' | 'failed';
      bytes?: number;
      message?: string;
    }
  | { type: 'note'; text: string };

export type OnEvent = (event: RunEvent) => void;
