/** Which IP addresses a server may be sent to by those who ask it. */
import ipaddr from 'ipaddr.js';
import { UsageError } from '../../src/errors.ts';

/**
 * True for addresses of the public internet alone: not for private, loopback, link-local (a cloud's metadata lie there),
 * multicast, unspecified, reserved or documentation ranges, nor for IPv6 forms that carry an IPv4 address (mapped, NAT64,
 * 6to4, Teredo), behind which any of those may be. Ranges are those of the IANA registries that ipaddr.js follows.
 */
export function isPublicAddress(address: string): boolean {
  const parsed = parse(address);
  if (parsed === undefined) return false;
  // An IPv4 address in IPv6 clothes is judged as what it is.
  const real =
    'isIPv4MappedAddress' in parsed && parsed.isIPv4MappedAddress() ? parsed.toIPv4Address() : parsed;
  return real.range() === 'unicast';
}

/** Whether an address lies in one of `networks`, written as CIDR. */
export function isWithin(address: string, networks: readonly Network[]): boolean {
  const parsed = parse(address);
  if (parsed === undefined) return false;
  return networks.some(([base, bits]) => base.kind() === parsed.kind() && parsed.match(base, bits));
}

export type Network = ReturnType<typeof ipaddr.parseCIDR>;

/** Throws `UsageError`. */
export function parseNetwork(text: string): Network {
  // ipaddr.js reads 10/8 as 0.0.0.10/8, as inet_aton would.
  const isWritten =
    ipaddr.isValidCIDR(text) && (text.includes(':') || ipaddr.IPv4.isValidCIDRFourPartDecimal(text));
  if (isWritten) return ipaddr.parseCIDR(text);
  throw new UsageError(`${JSON.stringify(text)} is no network`, { hint: 'Write it as 10.1.0.0/16' });
}

/** The address that a URL's host is, if it is one and no name: `[::1]` has brackets there. */
export function literalAddress(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return ipaddr.isValid(bare) ? bare : undefined;
}

function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  return ipaddr.isValid(address) ? ipaddr.parse(address) : undefined;
}
