/**
 * One request to the hub or to where it points, redirects followed by hand: the token goes to the hub's own
 * origin and nowhere else, and encrypted stays encrypted.
 */
import { CancelledError, isShardsieveError, messageOf } from '../../src/errors.ts';
import { type Failed, type Outcome, showUrl } from './retry.ts';
import type { HubSettings } from './settings.ts';

/** The part of `fetch` that is used; the global one, undici's and a test's all fit. */
export type HubFetch = (
  url: string,
  init: {
    method: 'GET' | 'HEAD';
    headers: Record<string, string>;
    redirect: 'manual';
    signal: AbortSignal;
  },
) => Promise<HubResponse>;

export interface HubResponse {
  status: number;
  headers: { get(name: string): string | null };
  body: { getReader(): HubReader; cancel(): Promise<void> } | null;
}

export interface HubReader {
  read(): Promise<{ done: boolean; value?: Uint8Array }>;
  cancel(): Promise<void>;
}

export interface RequestTools {
  fetch: HubFetch;
  settings: HubSettings;
  signal?: AbortSignal;
}

export interface Answered {
  /** Where the answer came from, after redirects. */
  url: string;
  response: HubResponse;
  /** Ends the connection; the body fails then. */
  abort(): void;
}

const MAX_REDIRECTS = 6;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a request and follows its redirects, except one to another origin for which `stopAt` says that the
 * redirect itself is the answer. Network errors and silence are failures that may be retried.
 * Throws `CancelledError`.
 */
export async function send(
  method: 'GET' | 'HEAD',
  start: string,
  headers: Record<string, string>,
  timeoutMs: number,
  tools: RequestTools,
  stopAt: (response: HubResponse) => boolean = () => false,
): Promise<Outcome<Answered>> {
  let url = start;
  for (let hops = 0; ; hops++) {
    const answered = await sendOnce(method, url, headers, timeoutMs, tools);
    if (!answered.ok) return answered;
    const { response } = answered.value;
    if (!REDIRECTS.has(response.status)) return answered;
    const target = redirectTarget(response, url);
    if (typeof target !== 'string') return drop(answered.value, target);
    if (new URL(target).origin !== new URL(url).origin && stopAt(response)) return answered;
    answered.value.abort();
    if (hops >= MAX_REDIRECTS) return strange(url, `more than ${MAX_REDIRECTS} redirects`);
    url = target;
  }
}

async function sendOnce(
  method: 'GET' | 'HEAD',
  url: string,
  headers: Record<string, string>,
  timeoutMs: number,
  tools: RequestTools,
): Promise<Outcome<Answered>> {
  const controller = new AbortController();
  const signals = tools.signal === undefined ? [controller.signal] : [controller.signal, tools.signal];
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    controller.abort();
  }, timeoutMs);
  try {
    const response = await tools.fetch(url, {
      method,
      // Compressed bytes have neither the size nor the ranges of the file.
      headers: { 'user-agent': 'shardsieve', 'accept-encoding': 'identity', ...headers, ...auth(url, tools) },
      redirect: 'manual',
      signal: AbortSignal.any(signals),
    });
    return { ok: true, value: { url, response, abort: () => controller.abort() } };
  } catch (error) {
    if (tools.signal?.aborted === true) throw new CancelledError();
    if (timedOut) return unreachable(url, `no answer within ${timeoutMs / 1000} s`, error);
    if (isShardsieveError(error)) throw error;
    return networkFailure(url, error);
  } finally {
    clearTimeout(timer);
  }
}

function auth(url: string, tools: RequestTools): Record<string, string> {
  const { token, endpoint } = tools.settings;
  if (token === undefined || new URL(url).origin !== new URL(endpoint).origin) return {};
  return { authorization: `Bearer ${token}` };
}

function redirectTarget(response: HubResponse, url: string): string | Failed {
  const location = response.headers.get('location') ?? '';
  if (location === '' || !URL.canParse(location, url)) return strange(url, 'a redirect that leads nowhere');
  const target = new URL(location, url);
  if (!/^https?:$/.test(target.protocol)) return strange(url, `a redirect to ${target.protocol}`);
  if (new URL(url).protocol === 'https:' && target.protocol === 'http:') {
    return strange(url, `a redirect from https to http (${showUrl(target.href)})`);
  }
  return target.href;
}

function drop(answered: Answered, failed: Failed): Failed {
  answered.abort();
  return failed;
}

/** What OpenSSL says of a certificate it does not trust: no later try changes that. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|ERR_TLS/;

/** undici's words for a 407, to a tunnel and to a plain request; fetch never shows that status itself. */
const PROXY_LOGIN = /Proxy response \(407\)|proxy authentication required/i;

/** fetch throws `TypeError: fetch failed` for everything; the cause beneath says what happened. */
export function networkFailure(url: string, error: unknown): Failed {
  let root = error;
  for (let depth = 0; depth < 5 && root instanceof Error && root.cause instanceof Error; depth++) {
    root = root.cause;
  }
  const code = root instanceof Error && 'code' in root ? String(root.code) : '';
  const message = messageOf(root) || code || 'the connection failed';
  const failed = unreachable(url, `the connection failed: ${message}`, error);
  if (CERTIFICATE.test(code)) {
    const hint = "Behind a company's proxy, point NODE_EXTRA_CA_CERTS at its certificate";
    return { ...failed, retry: false, hint };
  }
  if (PROXY_LOGIN.test(message)) {
    const hint = 'Put them into HTTPS_PROXY as http://user:password@host:port';
    return { ...failed, retry: false, message: 'the proxy wants a user name and password (407)', hint };
  }
  return failed;
}

export function unreachable(url: string, message: string, cause?: unknown): Failed {
  const hint = 'Check the connection; HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror';
  return {
    ok: false,
    problem: 'unreachable',
    message,
    url,
    hint,
    cause,
    retry: true,
  };
}

export function strange(url: string, message: string): Failed {
  const hint = 'Check HF_ENDPOINT and proxies: something answers in place of the hub';
  return { ok: false, problem: 'strange', message, url, hint, retry: false };
}
