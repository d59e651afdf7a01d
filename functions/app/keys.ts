/**
 * API keys. A key is `ssk_` and 256 random bits; what is kept of it is its SHA-256, which nobody can turn back, so a file
 * of keys can be read by an operator without being able to use them.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import * as z from 'zod';
import { messageOf, UsageError } from '../../src/errors.ts';

/** What a key may be used for; a key without scopes may be used for all of it. */
export const SCOPES = ['score', 'shards', 'jobs', 'metrics'] as const;
export type Scope = (typeof SCOPES)[number];

const recordSchema = z.strictObject({
  /** For people, logs and rate limits. */
  name: z.string().regex(/^[\w.@-]{1,64}$/, 'must be 1 to 64 of letters, digits, _ . @ -'),
  /** Lower-case hex, of the whole key. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'),
  scopes: z.array(z.enum(SCOPES)).optional(),
  /** RFC 3339. */
  created: z.string().optional(),
  /** When it was revoked; it is refused whatever the time is. */
  revoked: z.string().optional(),
});
export type KeyRecord = z.infer<typeof recordSchema>;

const keysSchema = z.strictObject({ keys: z.array(recordSchema) });

/** Whose key a request came with. */
export type KeyHolder = Pick<KeyRecord, 'name' | 'scopes'>;

export interface KeyStore {
  /** The holder of a key, `undefined` where there is none, or it was revoked. */
  find(key: string): Promise<KeyHolder | undefined>;
}

const PREFIX = 'ssk_';
const KEY = /^ssk_[\w-]{43}$/;

/** A new key and its record. The key itself is shown once and kept nowhere. */
export function newKey(
  name: string,
  created: string,
  scopes?: readonly Scope[],
): { key: string; record: KeyRecord } {
  const random = crypto.getRandomValues(new Uint8Array(32));
  const base64 = btoa(String.fromCharCode(...random));
  const key = PREFIX + base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  const record = {
    name,
    sha256: hashOf(key),
    ...(scopes === undefined ? {} : { scopes: [...scopes] }),
    created,
  };
  return { key, record: parse({ keys: [record] }, 'the new key')[0] };
}

/** The records of `{"keys": [{"name", "sha256", …}]}`. Throws `UsageError` naming file and field. */
export function parseKeys(text: string, file: string): KeyRecord[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`the keys are no JSON: ${messageOf(cause)}`, { file, cause });
  }
  return parse(json, file);
}

/** A store over records; `records` is asked at every request, so that a platform can read them anew. */
export function keyStore(records: () => readonly KeyRecord[] | Promise<readonly KeyRecord[]>): KeyStore {
  return {
    async find(key) {
      if (!KEY.test(key)) return undefined;
      const hash = hexToBytes(hashOf(key));
      let found: KeyRecord | undefined;
      // All of them, and each to its end: the time it takes says nothing of where a guess went wrong.
      for (const record of await records()) {
        if (equal(hexToBytes(record.sha256), hash) && record.revoked === undefined) found = record;
      }
      return found;
    },
  };
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

function hashOf(key: string): string {
  return bytesToHex(sha256(utf8ToBytes(key)));
}

function parse(json: unknown, file: string): KeyRecord[] {
  const parsed = keysSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UsageError(`${issue.path.join('.') || 'the keys'}: ${issue.message}`, {
      file,
      hint: 'Keys are made by: shardsieve keys new NAME',
    });
  }
  const { keys } = parsed.data;
  const names = new Set<string>();
  for (const { name } of keys) {
    if (names.has(name)) throw new UsageError(`two keys are called ${name}`, { file });
    names.add(name);
  }
  return keys;
}
