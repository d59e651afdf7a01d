/**
 * Pictures at URLs that a request names. Whoever names them chooses where this server goes, so: only origins that the
 * operator listed, redirects too; no credentials; one bound on bytes and one on time; what arrives must begin as a picture
 * does, whatever its content type says. Where names are resolved by us (Node), `cli/serve/guard.ts` checks the address
 * that is connected to; on Workers, whose fetch reaches no private network, addresses in URLs are checked here.
 */
import { UsageError } from '../../src/errors.ts';
import { sniffFormat } from '../../src/image/sniff.ts';
import { VERSION } from '../../src/version.ts';
import { isPublicAddress, literalAddress } from './addresses.ts';
import { Problem } from './problems.ts';
import type { UrlFetcher } from './service.ts';

/** What a platform's fetch answers with, as far as it is looked at. */
export interface Fetched {
  status: number;
  headers: { get(name: string): string | null };
  body: {
    getReader(): {
      read(): Promise<{ done: boolean; value?: Uint8Array }>;
      cancel(): Promise<void>;
    };
    cancel(): Promise<void>;
  } | null;
}

export interface UrlPolicy {
  /** `https://images.example`, exactly: scheme, host, port. */
  origins: readonly string[];
  /** Allow `http:` origins in the list. */
  http?: boolean;
  /** Milliseconds for all of one picture, redirects included. Default 10,000. */
  timeoutMs?: number;
  /** Redirects followed. Default 3. */
  redirects?: number;
  /** Whether an address may be gone to; default `isPublicAddress`. */
  allows?(address: string): boolean;
  /** Follows no redirect, sends no cookies. */
  fetch(
    url: string,
    init: { headers: Record<string, string>; redirect: 'manual'; signal: AbortSignal },
  ): Promise<Fetched>;
}

const TIMEOUT_MS = 10_000;
const REDIRECTS = 3;
const REDIRECT_STATUSES = [301, 302, 303, 307, 308];
/** Bytes after which a picture's format is known: WebP's kind stands at 12 to 15. */
const SNIFFED = 16;

/** The reason is for the log: whoever asks learns nothing of what lies where. */
export class RefusedAddress extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'RefusedAddress';
  }
}

/** Throws `UsageError` for origins that are none. */
export function urlFetcher(policy: UrlPolicy): UrlFetcher {
  const { timeoutMs = TIMEOUT_MS, redirects = REDIRECTS } = policy;
  const origins = new Set(policy.origins.map((origin) => checkedOrigin(origin, policy)));
  const headers = {
    accept: 'image/jpeg, image/png, image/webp, image/gif',
    'accept-encoding': 'identity',
    'user-agent': `shardsieve/${VERSION}`,
  };
  return async (text, { maxBytes, signal }) => {
    const time = AbortSignal.timeout(timeoutMs);
    const either = AbortSignal.any([signal, time]);
    try {
      let url = checkedUrl(text, origins, policy);
      for (let hop = 0; ; hop++) {
        const answer = await policy.fetch(url.href, { headers, redirect: 'manual', signal: either });
        if (!REDIRECT_STATUSES.includes(answer.status)) return await bodyOf(answer, maxBytes);
        await answer.body?.cancel();
        if (hop === redirects) throw new Problem('invalid', `the URL redirects more than ${redirects} times`);
        const location = answer.headers.get('location');
        if (location === null || !URL.canParse(location, url)) {
          throw new Problem('invalid', 'the URL redirects to nowhere');
        }
        url = checkedUrl(new URL(location, url).href, origins, policy);
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
      if (signal.aborted) throw signal.reason;
      if (time.aborted) {
        throw new Problem('invalid', `the picture did not arrive within ${timeoutMs} ms`, { cause: error });
      }
      if (isRefused(error)) throw new Problem('forbidden', NOT_ALLOWED, { cause: error });
      throw new Problem('invalid', 'the picture cannot be fetched', { cause: error });
    }
  };
}

const NOT_ALLOWED = 'this server does not fetch from there';

/** Throws `Problem` 403. The same words whatever it was: the list is the operator's. */
function checkedUrl(text: string, origins: ReadonlySet<string>, { allows }: UrlPolicy): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !origins.has(url.origin)) throw new Problem('forbidden', NOT_ALLOWED);
  if (url.username !== '' || url.password !== '') {
    throw new Problem('forbidden', 'a URL with a name or password in it is not fetched');
  }
  const address = literalAddress(url.hostname);
  if (address !== undefined && !(allows ?? isPublicAddress)(address))
    throw new Problem('forbidden', NOT_ALLOWED);
  return url;
}

function checkedOrigin(text: string, { http = false }: UrlPolicy): string {
  const origin = URL.canParse(text) ? new URL(text).origin : 'null';
  const isPlain = origin.startsWith('http://');
  if (origin === text && (origin.startsWith('https://') || (isPlain && http))) return origin;
  throw new UsageError(`${JSON.stringify(text)} is no origin that pictures may be fetched from`, {
    hint: isPlain && !http ? 'Plain http: must be allowed explicitly' : 'Write it as https://images.example',
  });
}

/** Throws `Problem` 413, 415, 422. */
async function bodyOf({ status, headers, body }: Fetched, maxBytes: number): Promise<Uint8Array> {
  const refuse = async (problem: Problem): Promise<never> => {
    await body?.cancel().catch(() => {});
    throw problem;
  };
  if (status !== 200 || body === null) {
    return refuse(new Problem('invalid', `the URL's origin answered ${status}`));
  }
  const encoding = headers.get('content-encoding');
  if (encoding !== null && encoding !== 'identity') {
    return refuse(
      new Problem('unsupported_media_type', 'the URL’s origin compressed what it was asked not to'),
    );
  }
  const tooLarge = () => new Problem('too_large', `the picture has more than ${maxBytes} bytes`);
  const said = Number(headers.get('content-length') ?? Number.NaN);
  if (said > maxBytes) return refuse(tooLarge());
  const reader = body.getReader();
  const bytes = new Uint8Array(Number.isNaN(said) ? maxBytes : said);
  let size = 0;
  let isSniffed = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || value === undefined) break;
      if (size + value.length > maxBytes) throw tooLarge();
      if (size + value.length > bytes.length)
        throw new Problem('invalid', 'the picture is longer than was said');
      bytes.set(value, size);
      size += value.length;
      if (!isSniffed && size >= SNIFFED) {
        isSniffed = true;
        if (sniffFormat(bytes) === undefined) {
          throw new Problem('unsupported_media_type', 'what lies there is no JPEG, PNG, WebP or GIF');
        }
      }
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    throw error;
  }
  if (!Number.isNaN(said) && size !== said) throw new Problem('invalid', 'the picture broke off');
  return bytes.slice(0, size);
}

/** `RefusedAddress` wherever it lies in the causes. */
function isRefused(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if (at instanceof RefusedAddress) return true;
  }
  return false;
}
