/** One question to towers or to an API elsewhere: time limits, stops, and other tries where another try may help. */
import { CancelledError, DownloadError, ModelError, messageOf } from '../../src/errors.ts';
import { pause } from '../../src/io/pause.ts';
import type { TowerPlace } from './client.ts';

export type Fetcher = (request: Request) => Promise<Response>;

export interface AskOptions {
  /** Milliseconds for one try, its answer's body included. Default 30,000. */
  timeoutMs?: number;
  /** Tries in all. Default 5. */
  attempts?: number;
  signal?: AbortSignal;
  /** Who is asked, for messages. Default "the towers". */
  who?: string;
  /** What to throw for an answer that is no success; `detail` is that of its problem document. */
  refusal?(status: number, message: string, url: string, text: string): Error;
}

export interface Question {
  method: 'GET' | 'POST';
  path: string;
  /** Sent again as it is where the question is. */
  body?: Uint8Array<ArrayBuffer> | FormData | string;
  type?: string;
  headers?: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 30_000;
const ATTEMPTS = 5;
/** Before the second try, doubled before each after it; up to as much again is added by chance. */
const FIRST_WAIT_MS = 250;
/** Who asks for a longer wait is not waited for. */
const LONGEST_WAIT_MS = 60_000;
const AGAIN = new Set([429, 502, 503, 504]);
/** A problem document's detail is not longer; anything else need not be read. */
const DETAIL_LENGTH = 500;

/**
 * The body of a 2xx. Embedding changes nothing, so a question is asked again after 429, 502, 503, 504, a time limit and a
 * broken line, after as long as `retry-after` says. Throws `CancelledError` on the signal, `ModelError` for 422,
 * `DownloadError` for the rest.
 */
export async function ask(place: TowerPlace, question: Question, options: AskOptions): Promise<Uint8Array> {
  const { attempts = ATTEMPTS, signal } = options;
  for (let attempt = 1; ; attempt++) {
    if (signal?.aborted) throw new CancelledError();
    const tried = await attemptOnce(place, question, options);
    if ('bytes' in tried) return tried.bytes;
    if (signal?.aborted) throw new CancelledError();
    const wait = tried.retryAfterMs ?? FIRST_WAIT_MS * 2 ** (attempt - 1) * (1 + Math.random());
    if (!tried.again || attempt >= attempts || wait > LONGEST_WAIT_MS) throw tried.error;
    await pause(wait, signal);
  }
}

type Tried = { bytes: Uint8Array } | { error: Error; again: boolean; retryAfterMs?: number };

async function attemptOnce(
  place: TowerPlace,
  { method, path, body, type, headers: more }: Question,
  { timeoutMs = TIMEOUT_MS, signal, who = 'the towers', refusal = plainRefusal }: AskOptions,
): Promise<Tried> {
  const url = `${place.url}${path}`;
  const headers = new Headers(more);
  if (type !== undefined) headers.set('content-type', type);
  if (place.key !== undefined) headers.set('authorization', `Bearer ${place.key}`);
  const limit = AbortSignal.timeout(timeoutMs);
  const either = signal === undefined ? limit : AbortSignal.any([limit, signal]);
  const request = new Request(url, { method, headers, body, signal: either, redirect: 'manual' });
  try {
    const response = await stoppable((place.fetch ?? fetch)(request), either);
    if (response.ok) {
      return { bytes: new Uint8Array(await stoppable(response.arrayBuffer(), either)) };
    }
    const text = await stoppable(
      response.text().catch(() => ''),
      either,
    );
    const detail = detailOf(text);
    const message = `${who} answered ${response.status}${detail === '' ? '' : `: ${detail}`}`;
    const error = refusal(response.status, message, url, text);
    const retryAfterMs = retryAfter(response.headers.get('retry-after'));
    return {
      error,
      again: AGAIN.has(response.status),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
  } catch (cause) {
    const message = limit.aborted
      ? `${who} gave no answer within ${timeoutMs} ms`
      : `${who} cannot be reached: ${messageOf(cause)}`;
    return { error: new DownloadError(message, { url, cause }), again: true };
  }
}

/** Ends with the signal even where what is waited for does not heed it, as a binding's `fetch` may not. */
function stoppable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

export function plainRefusal(status: number, message: string, url: string): Error {
  return status === 422 ? new ModelError(message, { url }) : new DownloadError(message, { url });
}

function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === 'string' ? detail.slice(0, DETAIL_LENGTH) : '';
  } catch {
    return '';
  }
}

/** Milliseconds; seconds or a date (RFC 9110, 10.2.3). */
function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  if (/^\d+$/.test(value)) return 1000 * Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
