/**
 * What the app asks of the platform it runs on: models, pictures decoded, keys, a clock of its own for limits, somewhere
 * to log. `cli/` fills it on Node, `functions/workers/` on Workers; nothing here knows which.
 */

import type { Fit, ImageDecoder } from '../../src/image/types.ts';
import type { Gunzip } from '../../src/io/gunzip.ts';
import type { Hasher } from '../../src/run/score-job.ts';
import type { HeadRunner } from '../../src/safety/heads/run.ts';
import type { Nsfwjs } from '../../src/safety/nsfwjs/model.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import type { Jobs } from './jobs.ts';
import type { KeyStore } from './keys.ts';
import type { Limits } from './limits.ts';
import type { Metrics } from './metrics.ts';
import type { PageReader } from './page.ts';
import type { RateLimiter } from './rate-limit.ts';

/** A model that is ready to embed: a `ScoreModel`, and what is said of it. */
export interface ServedModel extends ScoreModel {
  /** `org/name`, a folder's name, or `demo`, as in `run.json`. Requests name a model by this or by its slug. */
  name: string;
  /** Of the column group `clip:<slug>`: scores of one fingerprint are one set of numbers. */
  fingerprint: string;
  /** Heads over this model's image embeddings. */
  heads: readonly HeadRunner[];
}

/** Gets the bytes behind a URL, guarded: see `fetch-url.ts`. Throws `Problem`. */
export type UrlFetcher = (
  url: string,
  options: { maxBytes: number; signal: AbortSignal },
) => Promise<Uint8Array>;

/** One line a request, or of what happened outside of one. Never a caption, a picture, a key or a query. */
export interface LogLine {
  level: 'info' | 'warn' | 'error';
  message: string;
  requestId?: string;
  method?: string;
  /** As it was declared, `/v1/jobs/{id}`. */
  route?: string;
  status?: number;
  ms?: number;
  /** The key's name. */
  key?: string;
  model?: string;
  images?: number;
  captions?: number;
  bytes?: number;
  /** The problem's type, and for a fault of ours the error's own message. */
  problem?: string;
  error?: string;
}

export interface Service {
  /** The first is the default. */
  models: readonly ServedModel[];
  decoder: ImageDecoder;
  /** Default `open_clip`. Part of the models' fingerprints. */
  fit?: Fit;
  /** NSFWJS's classifier; absent: its columns are not made. */
  nsfw?: Nsfwjs;
  limits: Limits;
  /** `open`: whoever reaches the server may use it. Said on purpose, never a default. */
  keys: KeyStore | 'open';
  rateLimit?: RateLimiter;
  /** Whom a request is counted for where there are no keys; absent: all are one. */
  clientOf?(request: Request, env: unknown): string | undefined;
  /** Absent: URLs are refused. */
  fetchUrl?: UrlFetcher;
  /** Absent: `/v1/jobs` answers 501. */
  jobs?: Jobs;
  /** The page at `/`; absent: there is none. */
  page?: PageReader;
  /** Origins of pages that may call the API; absent: none but its own. */
  cors?: readonly string[];
  /** Resolves when requests can be answered; throws while they cannot, or no longer (shutting down). */
  ready(): Promise<void>;
  metrics: Metrics;
  log(line: LogLine): void;
  gunzip?: Gunzip;
  hasher?(): Hasher;
}
