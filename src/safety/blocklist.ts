/**
 * Lists of what is known to be bad: hashes of pictures, URLs, domains, uids. Classifiers alone are not a safe
 * subset. A match is counted and dropped; neither the entry nor what matched it is ever put in a message.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { UsageError } from '../errors.ts';
import { HexSet } from './block/hex-set.ts';
import { badLine, type ListLine, listLines } from './block/lines.ts';
import { DomainSet, domainOf, matchesDomain, urlKey } from './block/urls.ts';
import { MAX_PDQ_DISTANCE, PDQ_DISTANCE, PdqIndex } from './pdq/index.ts';

export { DomainSet, domainOf, matchesDomain };

/**
 * What the entries are, and so what they are compared with:
 * - `sha256`: of the bytes that were downloaded, as img2dataset's JSON and the metadata column `sha256` have it
 * - `member_sha256`: of the picture's bytes in the shard, which differ where img2dataset encoded it anew
 * - `pdq`: of the decoded pixels, see `pdq/hash.ts`; a line may end with the bits that may differ, `HASH,DISTANCE`
 * - `url`, `domain`: the sample's URL; a domain stands for all below it too
 * - `uid`: DataComp's, 32 hex digits
 */
export const BLOCK_KINDS = ['sha256', 'member_sha256', 'pdq', 'url', 'domain', 'uid'] as const;
export type BlockKind = (typeof BLOCK_KINDS)[number];

export interface BlockList {
  readonly kind: BlockKind;
  /** For messages. */
  readonly file: string;
  /** Different entries; for PDQ, lines. */
  readonly entries: number;
  /** Hex SHA-256 of the list's file: goes into fingerprints and `run.json`. */
  readonly sha256: string;
  /**
   * Whether a hash (hex), a uid or an URL is on the list; for PDQ, whether an entry is near enough. `null` where the value cannot be judged: it is absent, or no
   * hash or URL. Callers decide what becomes of those, and count them.
   */
  matches(value: string | null): boolean | null;
}

/** How the entries of one kind are kept. `add` returns what is wrong with a line, or `undefined`. */
interface Entries {
  readonly size: number;
  add(text: string): string | undefined;
  has(value: string): boolean | null;
}

const HINTS: Record<BlockKind, string> = {
  sha256: 'One SHA-256 a line: 64 hex digits',
  member_sha256: 'One SHA-256 a line: 64 hex digits',
  pdq: `One PDQ hash a line: 64 hex digits, and after a comma, if wanted, the bits that may differ, 0 to ${MAX_PDQ_DISTANCE} (${PDQ_DISTANCE} where left out)`,
  url: 'One URL a line, such as https://example.com/picture.jpg',
  domain:
    'One domain a line, such as example.com, without scheme, port or path; a whole top-level domain is written with its dot: .xxx',
  uid: 'One uid a line: 32 hex digits',
};

/**
 * Reads a list: UTF-8, one entry a line, `#` begins a comment. Throws `UsageError` naming file and line where an entry
 * is not of its kind, and where there is none at all: a list that blocks nothing is more likely a failed download.
 * `distance`: bits in which a PDQ hash may differ from a line that does not say.
 */
export function parseBlockList(
  kind: BlockKind,
  bytes: Uint8Array,
  file: string,
  options: { distance?: number } = {},
): BlockList {
  const entries = emptyList(kind, options.distance);
  const lines: ListLine[] = listLines(bytes, file);
  for (const { text, line } of lines) {
    const problem = entries.add(text);
    if (problem !== undefined) throw badLine(file, line, problem, HINTS[kind]);
  }
  if (entries.size === 0) throw new UsageError('the block-list has no entry', { file, hint: HINTS[kind] });
  return {
    kind,
    file,
    entries: entries.size,
    sha256: bytesToHex(sha256(bytes)),
    matches: (value) => (value === null ? null : entries.has(value)),
  };
}

function emptyList(kind: BlockKind, distance = PDQ_DISTANCE): Entries {
  switch (kind) {
    case 'sha256':
    case 'member_sha256':
      return hashes(64, 'is no SHA-256');
    case 'pdq':
      return pdqs(distance);
    case 'uid':
      return hashes(32, 'is no uid');
    case 'url':
      return urls();
    case 'domain':
      return domains();
  }
}

function hashes(digits: number, problem: string): Entries {
  const set = new HexSet(digits);
  return {
    get size() {
      return set.size;
    },
    add: (text) => (set.add(text) ? undefined : problem),
    has: (value) => set.has(value),
  };
}

function pdqs(usual: number): Entries {
  const index = new PdqIndex();
  return {
    get size() {
      return index.size;
    },
    add(text) {
      const [hash, distance = String(usual), ...rest] = text.split(',').map((part) => part.trim());
      if (rest.length > 0 || !/^\d{1,2}$/.test(distance) || Number(distance) > MAX_PDQ_DISTANCE) {
        return 'has no valid distance';
      }
      return index.add(hash, Number(distance)) ? undefined : 'is no PDQ hash';
    },
    has: (value) => index.matches(value),
  };
}

function urls(): Entries {
  const keys = new Set<string>();
  const hosts = new Set<string>();
  return {
    get size() {
      return keys.size;
    },
    add(text) {
      const key = /\s/.test(text) ? null : urlKey(text);
      const host = domainOf(text);
      if (key === null || host === null) return 'is no URL';
      keys.add(key);
      hosts.add(host);
      return undefined;
    },
    has(value) {
      // Most URLs are of hosts that the list does not know, and a host is read faster than the rest is brought in order.
      const host = domainOf(value);
      if (host === null || !hosts.has(host)) return host === null ? null : false;
      const key = urlKey(value);
      return key === null ? null : keys.has(key);
    },
  };
}

function domains(): Entries {
  const set = new DomainSet();
  return {
    get size() {
      return set.size;
    },
    add: (text) => set.add(text),
    has: (value) => matchesDomain(value, set),
  };
}
