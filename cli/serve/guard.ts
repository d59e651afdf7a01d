/**
 * Fetching what strangers name, on Node: a name is resolved once, every address it has is checked, and the connection goes
 * to one that was checked. So a name that resolves to something else a moment later gains nothing.
 */
import type { LookupAddress } from 'node:dns';
import { lookup as resolveName } from 'node:dns/promises';
import { Agent, fetch } from 'undici';
import { isPublicAddress, isWithin, parseNetwork } from '../../functions/app/addresses.ts';
import { RefusedAddress, type UrlPolicy, urlFetcher } from '../../functions/app/fetch-url.ts';
import type { UrlFetcher } from '../../functions/app/service.ts';
import { messageOf } from '../../src/errors.ts';

export interface GuardOptions extends Pick<UrlPolicy, 'origins' | 'http' | 'timeoutMs' | 'redirects'> {
  /** Networks that may be gone to besides the public internet, as CIDR: where an own store of pictures lies. */
  networks?: readonly string[];
  /** All addresses of a name; default the system's resolver. */
  resolve?(hostname: string): Promise<LookupAddress[]>;
}

/** Connections to one origin. */
const CONNECTIONS = 16;
const MAX_HEADERS = 16 * 1024;

export interface GuardedFetcher {
  fetchUrl: UrlFetcher;
  close(): Promise<void>;
}

/** Throws `UsageError` for origins or networks that are none. */
export function guardedFetcher(options: GuardOptions): GuardedFetcher {
  const networks = (options.networks ?? []).map(parseNetwork);
  const allows = (address: string) => isPublicAddress(address) || isWithin(address, networks);
  const resolve = options.resolve ?? ((hostname) => resolveName(hostname, { all: true }));
  const agent = new Agent({
    connections: CONNECTIONS,
    maxHeaderSize: MAX_HEADERS,
    connect: {
      // Asked for names only: an address in a URL is checked before.
      lookup(hostname, { all }, done) {
        checkedAddresses(hostname, resolve, allows).then(
          (addresses) => {
            if (all) done(null, addresses);
            else done(null, addresses[0].address, addresses[0].family);
          },
          (error: unknown) => done(error instanceof Error ? error : new Error(messageOf(error)), ''),
        );
      },
    },
  });
  const fetchUrl = urlFetcher({
    ...options,
    allows,
    fetch: (url, init) => fetch(url, { ...init, dispatcher: agent }),
  });
  return { fetchUrl, close: () => agent.destroy() };
}

/** All of a name's addresses, if each may be gone to: one that may not says enough of the name. */
async function checkedAddresses(
  hostname: string,
  resolve: (hostname: string) => Promise<LookupAddress[]>,
  allows: (address: string) => boolean,
): Promise<LookupAddress[]> {
  const addresses = await resolve(hostname);
  const refused = addresses.find(({ address }) => !allows(address));
  if (refused !== undefined) throw new RefusedAddress(`${hostname} resolves to ${refused.address}`);
  if (addresses.length === 0) throw new RefusedAddress(`${hostname} has no address`);
  return addresses;
}
