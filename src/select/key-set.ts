import { sha256 } from '@noble/hashes/sha2.js';
import { compareUids, parseUidText } from './uids.ts';

/** Which 128-bit keys were met: open addressing over 16 bytes a key, at most two thirds full. */
export class KeySet {
  #slots = new Uint32Array(4 * 1024);
  /** Which slots are taken, as a key may be all zeros. */
  #taken = new Uint8Array(1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Takes the key at an index of an array of words; false where it was there already. */
  add(words: Uint32Array, at: number): boolean {
    if (3 * (this.#size + 1) > 2 * this.#taken.length) this.#grow();
    const slot = this.#find(words, at);
    if (this.#taken[slot] !== 0) return false;
    this.#taken[slot] = 1;
    for (let word = 0; word < 4; word++) this.#slots[4 * slot + word] = words[4 * at + word];
    this.#size++;
    return true;
  }

  has(words: Uint32Array, at: number): boolean {
    return this.#taken[this.#find(words, at)] !== 0;
  }

  /** The key's slot, or the free one where it belongs. */
  #find(words: Uint32Array, at: number): number {
    const last = this.#taken.length - 1;
    // Keys are hashes, or uids, which are hashes too; mixing all words makes do with ones that are not.
    const mixed =
      words[4 * at] ^ words[4 * at + 1] ^ Math.imul(words[4 * at + 2] ^ words[4 * at + 3], 0x9e3779b1);
    let slot = (mixed ^ (mixed >>> 15)) & last;
    while (this.#taken[slot] !== 0 && compareUids(this.#slots, slot, words, at) !== 0)
      slot = (slot + 1) & last;
    return slot;
  }

  #grow(): void {
    const [slots, taken] = [this.#slots, this.#taken];
    this.#slots = new Uint32Array(2 * slots.length);
    this.#taken = new Uint8Array(2 * taken.length);
    this.#size = 0;
    for (let slot = 0; slot < taken.length; slot++) if (taken[slot] !== 0) this.add(slots, slot);
  }
}

const ENCODER = new TextEncoder();

/** A text's key: a uid's own bits where it is one, else the first 16 bytes of SHA-256 over its UTF-8. */
export function textKey(text: string, words: Uint32Array, at: number): void {
  if (text.length === 32 && parseUidText(text, words, at)) return;
  const digest = sha256(ENCODER.encode(text));
  const view = new DataView(digest.buffer, digest.byteOffset);
  for (let word = 0; word < 4; word++) words[4 * at + word] = view.getUint32(4 * word, true);
}
