/** A published head's file, over HTTPS into memory, and whether it is the file that is known. */
import { createHash } from 'node:crypto';
import { DownloadError } from '../../src/errors.ts';
import type { KnownHead } from '../../src/safety/heads/known.ts';
import type { DownloadOptions } from '../hub/download.ts';
import { proxiedFetch } from '../hub/fetch.ts';
import { type RequestTools, send, unreachable } from '../hub/request.ts';
import { downloadError, type Failed, type Outcome, retryAfter, retrying } from '../hub/retry.ts';
import { hubSettings } from '../hub/settings.ts';

/**
 * Downloads and verifies. The settings are the hub's (proxies, timeouts, offline); its token is not sent. Throws
 * `DownloadError`, `CancelledError`.
 */
export async function downloadHead(known: KnownHead, options: DownloadOptions = {}): Promise<Uint8Array> {
  const settings = hubSettings(options.env);
  const { url } = known;
  if (settings.offline) {
    throw new DownloadError(`${known.file} cannot be downloaded: HF_HUB_OFFLINE is set`, {
      url,
      hint: `Fetch it where there is a connection, then: shardsieve heads import ${known.file} --out HEAD`,
    });
  }
  const tools: RequestTools = {
    fetch: options.fetch ?? proxiedFetch(options.env),
    settings: { ...settings, token: undefined },
    signal: options.signal,
  };
  const outcome = await retrying(() => downloadOnce(known, tools, options.onProgress), options);
  if (!outcome.ok) throw downloadError(outcome);
  return outcome.value;
}

async function downloadOnce(
  known: KnownHead,
  tools: RequestTools,
  onProgress: DownloadOptions['onProgress'],
): Promise<Outcome<Uint8Array>> {
  const { stallTimeoutMs } = tools.settings;
  const answered = await send('GET', known.url, {}, stallTimeoutMs, tools);
  if (!answered.ok) return answered;
  const { response, abort } = answered.value;
  try {
    if (response.status !== 200)
      return refused(known, response.status, retryAfter(response.headers, Date.now()));
    const bytes = new Uint8Array(known.size);
    let received = 0;
    const reader = response.body?.getReader();
    while (reader !== undefined) {
      const stall = setTimeout(abort, stallTimeoutMs);
      const got = await reader.read().finally(() => clearTimeout(stall));
      if (got.done || got.value === undefined) break;
      if (received + got.value.length > known.size) return changed(known, `more than ${known.size} bytes`);
      bytes.set(got.value, received);
      received += got.value.length;
      onProgress?.({ file: known.file, received, total: known.size });
    }
    if (received < known.size)
      return unreachable(known.url, `the connection ended after ${received} of ${known.size} bytes`);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return sha256 === known.sha256 ? { ok: true, value: bytes } : changed(known, `SHA-256 ${sha256}`);
  } catch (error) {
    if (tools.signal?.aborted) throw error;
    return unreachable(known.url, 'the connection broke', error);
  } finally {
    abort();
  }
}

function refused(known: KnownHead, status: number, waitMs: number | undefined): Failed {
  const retry = status === 408 || status === 429 || (status >= 500 && status !== 501);
  return {
    ok: false,
    problem: retry ? 'busy' : 'no_file',
    message: `${known.file} was not given: the server answered ${status}`,
    url: known.url,
    retry,
    ...(waitMs === undefined ? {} : { waitMs }),
    hint: `Fetch it yourself from ${known.info.source}, then: shardsieve heads import ${known.file} --out HEAD`,
  };
}

function changed(known: KnownHead, what: string): Failed {
  return {
    ok: false,
    problem: 'damaged',
    message: `${known.file} is not the file that is known: ${what} instead of ${known.size} bytes with SHA-256 ${known.sha256}`,
    url: known.url,
    retry: false,
    hint: 'It was changed upstream or on the way; nothing was imported',
  };
}
