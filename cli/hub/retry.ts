/** Trying again: when, how long after, and when to stop. */
import { CancelledError, DownloadError } from '../../src/errors.ts';
import { pause } from '../../src/io/pause.ts';

/** Why a try gave nothing. */
export interface Failed {
  ok: false;
  problem: Problem;
  message: string;
  url: string;
  hint?: string;
  cause?: unknown;
  /** Whether the same request may succeed later. */
  retry: boolean;
  /** What the server asked for, in milliseconds. */
  waitMs?: number;
  /** Bytes came before it failed: the line is bad, not dead. */
  progressed?: boolean;
}

/**
 * - `unreachable`: no answer, a cut connection, silence
 * - `busy`: an answer that says later (429, 5xx)
 * - `denied`: gated, forbidden, bad token
 * - `no_repo`, `no_revision`, `no_file`: the hub has no such thing
 * - `damaged`: bytes that are not the file's
 * - `strange`: an answer that no hub gives
 */
export type Problem =
  | 'unreachable'
  | 'busy'
  | 'denied'
  | 'no_repo'
  | 'no_revision'
  | 'no_file'
  | 'damaged'
  | 'strange';

export type Outcome<T> = { ok: true; value: T } | Failed;

export interface RetryTools {
  signal?: AbortSignal;
  onNote?: (note: string) => void;
  /** Waits; replaced in tests. */
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** In `[0, 1)`; replaced in tests. */
  random?: () => number;
}

/** Failures in a row, without a new byte, before giving up. */
export const MAX_RETRIES = 5;
/** Tries altogether: a line that drops every few bytes ends too. */
const MAX_TRIES = 200;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;
/** The hub counts requests in windows of five minutes; whoever asks for more is not waited for. */
const MAX_RETRY_AFTER_MS = 330_000;

/** Calls `attempt` until it succeeds, must not be repeated, or has failed too often; then the last failure. */
export async function retrying<T>(
  attempt: () => Promise<Outcome<T>>,
  tools: RetryTools,
  maxRetries: number = MAX_RETRIES,
): Promise<Outcome<T>> {
  let inARow = 0;
  for (let tries = 1; ; tries++) {
    throwIfCancelled(tools.signal);
    const outcome = await attempt();
    if (outcome.ok || !outcome.retry) return outcome;
    inARow = outcome.progressed === true ? 1 : inARow + 1;
    if (inARow > maxRetries || tries >= MAX_TRIES) {
      return tries === 1 ? outcome : { ...outcome, message: `${outcome.message} (tried ${tries} times)` };
    }
    if (outcome.waitMs !== undefined && outcome.waitMs > MAX_RETRY_AFTER_MS) {
      const minutes = Math.ceil(outcome.waitMs / 60_000);
      return { ...outcome, retry: false, hint: `The server asks to wait ${minutes} minutes: run again then` };
    }
    const waitMs = outcome.waitMs ?? backOff(inARow, tools.random ?? Math.random);
    tools.onNote?.(`${outcome.message}; trying again in ${(waitMs / 1000).toFixed(1)} s`);
    await (tools.sleep ?? pause)(waitMs, tools.signal);
  }
}

/** Exponential, with half of it left to chance so that many clients do not come back together. */
function backOff(failures: number, random: () => number): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1));
  return longest * (0.5 + random() / 2);
}

export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new CancelledError();
}

export function downloadError(failed: Failed): DownloadError {
  const { message, url, hint, cause } = failed;
  return new DownloadError(message, { url: showUrl(url), hint, cause });
}

/** An address for people: a signed one carries its key in the query. */
export function showUrl(url: string): string {
  return URL.canParse(url) ? new URL(url).origin + new URL(url).pathname : url.slice(0, 200);
}

/**
 * How long the server asks to wait, in milliseconds: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3),
 * else the `t` of the hub's `RateLimit` header where nothing remains (`"api";r=0;t=55`).
 */
export function retryAfter(headers: { get(name: string): string | null }, now: number): number | undefined {
  const after = headers.get('retry-after')?.trim();
  if (after !== undefined && after !== '') {
    if (/^\d{1,9}(\.\d+)?$/.test(after)) return Number(after) * 1000;
    const date = Date.parse(after);
    if (!Number.isNaN(date)) return Math.max(0, date - now);
  }
  const limit = headers.get('ratelimit') ?? '';
  if (!/;\s*r=0\b/.test(limit)) return undefined;
  const reset = /;\s*t=(\d{1,6})\b/.exec(limit);
  return reset === null ? undefined : Number(reset[1]) * 1000;
}
