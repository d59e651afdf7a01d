/**
 * The bytes of one file, from the hub into a partial file that may hold its beginning already.
 *
 * A 206 is taken only where its `Content-Range` continues exactly what is there; a 200 is the whole file and
 * starts it again; 416 starts it again too. Memory: one chunk of the connection. The file is asked for by its
 * commit, so that its bytes cannot change between two tries, and every try asks the hub anew, because the signed
 * addresses that it redirects to expire. `If-Range` is not sent: the tag that names the file is the hub's, the
 * store that answers has another one and would take the condition as failed; the hash at the end decides.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { CancelledError } from '../../src/errors.ts';
import { type Asked, refusal } from './answers.ts';
import { fileSize } from './cache.ts';
import { onDisk } from './disk.ts';
import { addressOf, isEncoded, MAX_FILE_BYTES } from './metadata.ts';
import {
  type Answered,
  type HubReader,
  networkFailure,
  type RequestTools,
  send,
  unreachable,
} from './request.ts';
import type { Failed, Outcome } from './retry.ts';

export interface Transfer {
  asked: Asked;
  commit: string;
  /** Bytes of the whole file, where known. */
  size: number | undefined;
  /** Where the bytes go. */
  path: string;
  /** Told after every chunk, and once at the start with what was there. */
  onBytes?: (received: number) => void;
  /** The most bytes any try had; a try that has no more is no progress. */
  received: number;
  /** Ask for the whole; set once a server has answered a range wrongly. */
  wholeOnly: boolean;
}

/** One try. Leaves in the file whatever is right so far. Throws `OutputError` and `CancelledError`. */
export async function transferOnce(transfer: Transfer, tools: RequestTools): Promise<Outcome<void>> {
  const { asked, size } = transfer;
  let offset = (await fileSize(transfer.path)) ?? 0;
  if (transfer.wholeOnly || offset > (size ?? MAX_FILE_BYTES)) offset = 0;
  if (offset > 0 && offset === size) return { ok: true, value: undefined };
  const url = addressOf(asked, transfer.commit);
  const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
  const answered = await send('GET', url, headers, tools.settings.stallTimeoutMs, tools);
  if (!answered.ok) return answered;
  const start = judge(answered.value, offset, transfer);
  if (typeof start !== 'number') {
    answered.value.abort();
    return start;
  }
  const file = await onDisk(transfer.path, () => openAt(transfer.path, start));
  try {
    return await pour(answered.value, file, start, transfer, tools);
  } finally {
    answered.value.abort();
    await file.close().catch(() => undefined);
  }
}

/** Where in the file the answer's bytes go, or why they cannot be used. */
function judge(answered: Answered, offset: number, transfer: Transfer): number | Failed {
  const { response, url } = answered;
  const { status } = response;
  if (status === 200) {
    const length = isEncoded(response) ? null : response.headers.get('content-length');
    if (length !== null && transfer.size !== undefined && Number(length) !== transfer.size) {
      return damaged(url, `the server sends ${length} bytes of a file that has ${transfer.size}`);
    }
    return 0;
  }
  if (status === 206) {
    const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(response.headers.get('content-range')?.trim() ?? '');
    const total = range === null || range[3] === '*' ? undefined : Number(range[3]);
    const fits = total === undefined || transfer.size === undefined || total === transfer.size;
    if (range !== null && offset > 0 && Number(range[1]) === offset && fits && !isEncoded(response))
      return offset;
    transfer.wholeOnly = true;
    return again(url, 'the server answered with another range than was asked for');
  }
  if (status === 416) {
    transfer.wholeOnly = true;
    return again(url, 'the server has no bytes after those that are here (416)');
  }
  const ownHost = new URL(url).origin === new URL(transfer.asked.endpoint).origin;
  // Only a signed address that has expired or is not known to the store yet; the hub hands out a new one.
  if (!ownHost && (status === 401 || status === 403 || status === 404)) {
    return unreachable(url, `the file store answered ${status}`);
  }
  return refusal(response, url, transfer.asked);
}

async function pour(
  answered: Answered,
  file: FileHandle,
  start: number,
  transfer: Transfer,
  tools: RequestTools,
): Promise<Outcome<void>> {
  const { url, response } = answered;
  const limit = transfer.size ?? MAX_FILE_BYTES;
  const reader = response.body?.getReader();
  let at = start;
  const before = Math.max(start, transfer.received);
  transfer.onBytes?.(at);
  for (;;) {
    const got = reader === undefined ? END : await nextChunk(reader, url, tools);
    if ('problem' in got) return { ...got, progressed: at > before };
    if (got.done || got.value === undefined) break;
    const chunk = got.value;
    if (at + chunk.length > limit) {
      await onDisk(transfer.path, () => file.truncate(0));
      return damaged(url, `more than ${limit} bytes came`);
    }
    await onDisk(transfer.path, () => writeAll(file, chunk, at));
    at += chunk.length;
    transfer.received = Math.max(transfer.received, at);
    transfer.onBytes?.(at);
  }
  if (transfer.size !== undefined && at < transfer.size) {
    const failed = unreachable(url, `the connection ended after ${at} of ${transfer.size} bytes`);
    return { ...failed, progressed: at > before };
  }
  // Beyond this point the name alone vouches for the bytes, so they must outlive a power cut.
  await onDisk(transfer.path, () => file.sync());
  return { ok: true, value: undefined };
}

const END = { done: true, value: undefined } as const;

/** The next bytes; a failure when the connection breaks or nothing comes for too long. */
async function nextChunk(
  reader: HubReader,
  url: string,
  tools: RequestTools,
): Promise<{ done: boolean; value?: Uint8Array } | Failed> {
  const { stallTimeoutMs } = tools.settings;
  let timer: NodeJS.Timeout | undefined;
  let stop: (() => void) | undefined;
  // Raced here, because an injected fetch need not pass the signal on to its body.
  const interrupted = new Promise<Failed | 'cancelled'>((resolve) => {
    timer = setTimeout(
      () => resolve(unreachable(url, `nothing came for ${stallTimeoutMs / 1000} s`)),
      stallTimeoutMs,
    );
    stop = () => resolve('cancelled');
    tools.signal?.addEventListener('abort', stop, { once: true });
    if (tools.signal?.aborted === true) stop();
  });
  try {
    const read = reader.read().catch((error: unknown) => networkFailure(url, error));
    const got = await Promise.race([interrupted, read]);
    if (got === 'cancelled' || tools.signal?.aborted === true) throw new CancelledError();
    return got;
  } finally {
    clearTimeout(timer);
    if (stop !== undefined) tools.signal?.removeEventListener('abort', stop);
  }
}

async function openAt(path: string, start: number): Promise<FileHandle> {
  return open(path, start === 0 ? 'w' : 'r+');
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

export function damaged(url: string, message: string): Failed {
  const hint = 'Run again; if it stays so, a proxy or mirror on the way changes the file';
  return { ok: false, problem: 'damaged', message, url, hint, retry: false };
}

function again(url: string, message: string): Failed {
  return { ok: false, problem: 'unreachable', message, url, retry: true, waitMs: 0 };
}
