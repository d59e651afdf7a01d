import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { RunEntry } from '../metadata/run.ts';
import type { Json } from '../metadata/table.ts';

/** JSON with sorted names and no spaces, so that equal settings give equal bytes. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`);
    return `{${fields.join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

/** The first 32 hex digits of SHA-256 over the canonical JSON: what two runs must share to be mixed. */
export function fingerprint(settings: unknown): string {
  return bytesToHex(sha256(utf8ToBytes(canonicalJson(settings)))).slice(0, 32);
}

/** What decides a folder's rows, as `run.json` says it: the same on every platform. `gate`: see `run/plan`. */
export function rowsEntry(rows: { caption: string; uid: string; carry: string[]; gate?: Json }): RunEntry {
  return { ...rows, fingerprint: fingerprint({ kind: 'rows', version: 1, ...rows }) };
}
