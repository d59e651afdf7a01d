/**
 * What an URL names, said in one way: hosts by the URL standard (url.spec.whatwg.org, "host parsing": lower case,
 * punycode, percent-decoding, numeric forms of IPv4), which is what a browser would load.
 */

/** Hosts that the URL standard leaves as they are: no user, no port, a last label that is no number. */
const PLAIN = /^https?:\/\/((?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*)(?:[/?#]|$)/;

/** `name:` that no port number follows: `example.com:80/a.jpg` has no scheme. */
const SCHEME = /^[a-z][a-z0-9+.-]*:(?!\d)/i;

/** A text as an URL; `http` where it has no scheme. `null` where it is none, or has no host. */
function parse(text: string): URL | null {
  const bare = text.trim();
  const url = URL.parse(SCHEME.test(bare) ? bare : `http://${bare}`);
  return url === null || hostOf(url) === '' ? null : url;
}

/** A trailing dot names the same host in DNS. */
function hostOf(url: URL): string {
  return url.hostname.toLowerCase().replace(/\.$/, '');
}

/**
 * The host of an URL: lower case, punycode for other scripts, no user, no port, no trailing dot; IPv6 in brackets.
 * A text without a scheme is read as `http`. `null` for what has no host.
 */
export function domainOf(url: string): string | null {
  const plain = PLAIN.exec(url)?.[1];
  if (plain !== undefined && !plain.includes('xn--')) return plain;
  const parsed = parse(url);
  return parsed === null ? null : hostOf(parsed);
}

/**
 * All hosts that a downloader may take an URL to name. In `http://a.example\@b.example/` a browser goes to the first
 * and Python's urllib, which takes the backslash for a part of the user's name, to the second.
 */
export function domainsOf(url: string): string[] {
  const first = domainOf(url);
  if (first === null) return [];
  const second = url.includes('\\') ? domainOf(url.replaceAll('\\', '%5C')) : null;
  return second === null || second === first ? [first] : [first, second];
}

/**
 * An URL for comparing: host as `domainOf` gives it, port where it is not the scheme's own, path and query as they
 * are; `http` and `https` are one, user and fragment are left out. `null` for what has no host.
 */
export function urlKey(text: string): string | null {
  const url = parse(text);
  if (url === null) return null;
  const scheme = url.protocol === 'http:' || url.protocol === 'https:' ? '' : url.protocol;
  const port = url.port === '' ? '' : `:${url.port}`;
  return `${scheme}//${hostOf(url)}${port}${url.pathname}${url.search}`;
}

const DOT = 46;

function step(hash: number, code: number): number {
  return (Math.imul(hash, 31) + code) | 0;
}

/** Domains, each with all that lies below it. */
export class DomainSet {
  readonly #domains = new Set<string>();
  /** Hashes of the domains, read from their ends: nearly every host is cleared in one pass without cutting it up. */
  readonly #hashes = new Set<number>();

  get size(): number {
    return this.#domains.size;
  }

  /**
   * Adds a domain and all below it: `example.com` stands for `a.example.com` too, as `.example.com` and
   * `*.example.com` do. A single label, such as the top-level domain `.xxx`, needs its dot, so that a slip does not
   * block all of `com`. Case and script do not matter; an IP address stands for itself. Returns what is wrong, or
   * `undefined`.
   */
  add(text: string): string | undefined {
    const below = /^(?:\*?\.)/.test(text);
    const name = text.replace(/^\*?\./, '');
    if (/[\s/@\\?#*]/.test(name)) return 'is no domain';
    const url = URL.parse(`http://${name}/`);
    if (url === null || url.hostname === '' || url.hostname === '.') return 'is no domain';
    if (url.port !== '' || (/:\d*$/.test(name) && !name.endsWith(']'))) return 'names a port, not a domain';
    const domain = hostOf(url);
    if (!below && !domain.includes('.') && !domain.startsWith('[') && domain !== 'localhost') {
      return 'is a single label';
    }
    this.#domains.add(domain);
    let hash = 0;
    for (let i = domain.length - 1; i >= 0; i--) hash = step(hash, domain.charCodeAt(i));
    this.#hashes.add(hash);
    return undefined;
  }

  /** Whether a host, as `domainOf` gives it, is one of the domains or lies below one. */
  has(host: string): boolean {
    let hash = 0;
    for (let i = host.length - 1; i >= 0; i--) {
      hash = step(hash, host.charCodeAt(i));
      const whole = i === 0 || host.charCodeAt(i - 1) === DOT;
      if (whole && this.#hashes.has(hash) && this.#domains.has(host.slice(i))) return true;
    }
    return false;
  }
}

/** Whether the host of an URL is one of the domains or lies below one; `null` where the URL has no host. */
export function matchesDomain(url: string, domains: DomainSet): boolean | null {
  const hosts = domainsOf(url);
  return hosts.length === 0 ? null : hosts.some((host) => domains.has(host));
}
