import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

/** 32 hex digits of what decides a group's values; equal settings must be given in equal order. */
export function fingerprintOf(settings: unknown): string {
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(settings)))).slice(0, 32);
}
