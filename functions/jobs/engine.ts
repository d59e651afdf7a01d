/** What scores shards for jobs, and within which bounds. */
import type { Annotator } from '../../src/annotate/types.ts';
import type { Fit, ImageDecoder } from '../../src/image/types.ts';
import type { Gunzip } from '../../src/io/gunzip.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { Caps } from '../../src/webdataset/samples.ts';
import type { JobRecord } from './records.ts';

export interface JobEngine {
  /** The first is the default. What `run.json` says of a model is `entry`; it is loaded when a shard needs it. */
  models: readonly WantedModel[];
  /** Of a job's safety columns, what they say together included. Throws `UsageError` for a name that is not known. */
  annotators(names: readonly string[], model: WantedModel): Promise<Annotator[]>;
  decoder: ImageDecoder;
  fit?: Fit;
  gunzip?: Gunzip;
}

export interface JobLimits {
  /** Shards of one job. */
  shards: number;
  /** Samples of one shard: its rows are in memory together when its files are written, some two kilobytes each. */
  samples: number;
  /** Bytes of one shard's npz, which is in memory then too. */
  embeddingBytes: number;
  /** Samples between two checkpoints; what a crash costs at most. */
  window: number;
  /** After so many samples, or milliseconds, a shard goes on in another invocation. */
  pieceSamples: number;
  /** The same where pictures are judged too. */
  judgedSamples: number;
  pieceMs: number;
  /** Milliseconds for which a shard belongs to the message that was last at work on it. */
  leaseMs: number;
  /** Seconds until a message that failed comes again: doubled at each failure, up to the second. */
  retrySeconds: [first: number, most: number];
  /** Seconds until it is looked whether a job is finished: doubled each time, up to the second. */
  settleSeconds: [first: number, most: number];
  /** In flight between reading and the towers. */
  memory: { readBytes: number; decodedPixels: number };
  caps: Caps;
}

/**
 * For an isolate of 128 MB and invocations of 30 s of CPU: a picture takes some 30 ms of the front's (decoding, resizing), and
 * NSFWJS a hundred more; the towers have limits of their own. Reading parts takes three requests each of the 1,000 that an invocation has.
 */
export const JOB_LIMITS: JobLimits = {
  shards: 10_000,
  samples: 16_384,
  embeddingBytes: 32 * 2 ** 20,
  window: 128,
  pieceSamples: 512,
  judgedSamples: 128,
  pieceMs: 300_000,
  leaseMs: 300_000,
  retrySeconds: [10, 600],
  settleSeconds: [60, 600],
  memory: { readBytes: 8 * 2 ** 20, decodedPixels: 8_000_000 },
  caps: { member: 8 * 2 ** 20, text: 2 ** 20, sample: 12 * 2 ** 20 },
};

/** What a job's shards are scored with. */
export interface JobWork {
  record: JobRecord;
  model: WantedModel;
  annotators: readonly Annotator[];
  engine: JobEngine;
  limits: JobLimits;
}
