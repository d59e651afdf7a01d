import { compareUids } from '../../src/uids/uids.ts';

/** Room for a table of this many uids. */
const MAX_SLOTS = 2 ** 31;

/**
 * Finds rows by uid: an open table over the uids' own memory, 8 to 16 bytes a uid beside their 16. Uids are hashes,
 * so their own bits place them; uids that are not (counted up, say) only make the steps longer.
 */
export class UidMap {
  readonly #words: Uint32Array;
  readonly #slots: Int32Array;
  readonly #mask: number;

  /** `capacity` uids at most, whose words lie in `words`, four a uid, as in `uids.ts`. */
  constructor(words: Uint32Array, capacity: number) {
    let slots = 16;
    while (slots < 2 * capacity && slots < MAX_SLOTS) slots *= 2;
    this.#words = words;
    this.#slots = new Int32Array(slots).fill(-1);
    this.#mask = slots - 1;
  }

  /** Enters the uid at an index. Returns the index of an equal one that is there already, else −1. */
  add(index: number): number {
    for (let slot = this.#slotOf(this.#words, index); ; slot = (slot + 1) & this.#mask) {
      const other = this.#slots[slot];
      if (other < 0) {
        this.#slots[slot] = index;
        return -1;
      }
      if (compareUids(this.#words, other, this.#words, index) === 0) return other;
    }
  }

  /** The index of the uid that equals the one at `at` of `words`, or −1. */
  find(words: Uint32Array, at: number): number {
    for (let slot = this.#slotOf(words, at); ; slot = (slot + 1) & this.#mask) {
      const other = this.#slots[slot];
      if (other < 0 || compareUids(this.#words, other, words, at) === 0) return other;
    }
  }

  #slotOf(words: Uint32Array, at: number): number {
    const [a, b] = [words[4 * at], words[4 * at + 1]];
    const [c, d] = [words[4 * at + 2], words[4 * at + 3]];
    const mixed =
      Math.imul(a, 0x9e3779b1) ^
      Math.imul(b, 0x85ebca77) ^
      Math.imul(c, 0xc2b2ae3d) ^
      Math.imul(d, 0x27d4eb2f);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }
}
