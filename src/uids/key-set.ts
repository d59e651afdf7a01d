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

/** Odd multipliers of the four lanes; any that differ will do. */
const A = 0x85ebca6b;
const B = 0xc2b2ae35;
const C = 0x27d4eb2f;
const D = 0x9e3779b1;

/**
 * A text's key: a uid's own bits where it is one, else four 32-bit hashes of its UTF-16 units. Two of a billion
 * different texts share one with a chance of some 1e-21, and are then taken for the same; nothing here withstands
 * somebody who looks for such a pair. SHA-256 would take ten times as long.
 */
export function textKey(text: string, words: Uint32Array, at: number): void {
  if (text.length === 32 && parseUidText(text, words, at)) return;
  let a: number = A;
  let b: number = B;
  let c: number = C;
  let d: number = D;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, A);
    a ^= a >>> 15;
    b = Math.imul(b ^ unit, B);
    b ^= b >>> 13;
    c = Math.imul(c + unit, C);
    c ^= c >>> 16;
    d = Math.imul(d + unit, D);
    d ^= d >>> 14;
  }
  words[4 * at] = finish(a ^ text.length);
  words[4 * at + 1] = finish(b);
  words[4 * at + 2] = finish(c);
  words[4 * at + 3] = finish(d);
}

function finish(hash: number): number {
  const h = Math.imul(hash ^ (hash >>> 16), A);
  return (h ^ (h >>> 13)) >>> 0;
}
