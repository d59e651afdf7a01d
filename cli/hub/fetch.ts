/** The real network: undici, through the proxies that the environment names. */
import { messageOf, UsageError } from '../../src/errors.ts';
import type { HubFetch } from './request.ts';
import type { Env } from './settings.ts';

/** Longer than a slow handshake; a host that is gone is noticed sooner than by the system's own two minutes. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * undici's `fetch` over `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of `env` (lower case first, as in curl).
 * undici is loaded when it is first needed: most commands make no request.
 */
export function proxiedFetch(env: Env = process.env): HubFetch {
  let ready: Promise<HubFetch> | undefined;
  return async (url, init) => {
    ready ??= connect(env);
    return (await ready)(url, init);
  };
}

async function connect(env: Env): Promise<HubFetch> {
  const { EnvHttpProxyAgent, fetch } = await import('undici');
  const httpProxy = env.http_proxy ?? env.HTTP_PROXY ?? '';
  const httpsProxy = env.https_proxy ?? env.HTTPS_PROXY ?? '';
  try {
    const dispatcher = new EnvHttpProxyAgent({
      httpProxy,
      httpsProxy,
      noProxy: env.no_proxy ?? env.NO_PROXY ?? '',
      connect: { timeout: CONNECT_TIMEOUT_MS },
      // Silence is timed where the bytes are read, for any fetch alike.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    return (url, init) => fetch(url, { ...init, dispatcher });
  } catch (error) {
    throw new UsageError(`the proxy's address is not usable: ${messageOf(error)}`, {
      hint: 'Write HTTPS_PROXY as http://host:port',
      cause: error,
    });
  }
}
