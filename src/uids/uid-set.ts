import {
  compareUids,
  countDistinct,
  formatUid,
  isSorted,
  parseUidText,
  sortUids,
  type Uids,
  wordsOf,
} from './uids.ts';

/** Buckets by the uppermost 16 bits: uids are hashes, so a search is left with n / 65,536 of them. */
const BUCKETS = 1 << 16;

/** Which uids are in a subset, and how often. Holds the 16 bytes a uid of the subset itself, and an index. */
export class UidSet {
  readonly uids: Uids;
  /** Entries, repeats included. */
  readonly size: number;
  /** Different uids. */
  readonly distinct: number;
  readonly #words: Uint32Array;
  readonly #starts = new Uint32Array(BUCKETS + 1);
  readonly #wanted = new Uint32Array(4);

  /** Sorts a copy where the uids are not sorted yet. */
  constructor(uids: Uids) {
    this.uids = isSorted(uids) ? uids : sortUids(uids);
    this.size = uids.length / 2;
    this.distinct = countDistinct(this.uids);
    this.#words = wordsOf(this.uids);
    for (let i = 0; i < this.size; i++) this.#starts[(this.#words[4 * i + 1] >>> 16) + 1]++;
    for (let bucket = 0; bucket < BUCKETS; bucket++) this.#starts[bucket + 1] += this.#starts[bucket];
  }

  /** How often a uid (32 hex digits, either case) is in the set; 0 for what is no uid. */
  count(uid: string): number {
    const first = this.find(uid);
    if (first < 0) return 0;
    let end = first + 1;
    while (end < this.size && compareUids(this.#words, end, this.#words, first) === 0) end++;
    return end - first;
  }

  /** Index of the first entry of a uid, or −1. */
  find(uid: string): number {
    return parseUidText(uid, this.#wanted, 0) ? this.findWords(this.#wanted, 0) : -1;
  }

  /** `find` for the uid at an index of other uids. */
  findIn(uids: Uids, index: number): number {
    return this.findWords(wordsOf(uids), index);
  }

  /** `find` for the uid at an index of an array of words. */
  findWords(wanted: Uint32Array, at: number): number {
    const bucket = wanted[4 * at + 1] >>> 16;
    let low = this.#starts[bucket];
    let high = this.#starts[bucket + 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareUids(this.#words, middle, wanted, at) < 0) low = middle + 1;
      else high = middle;
    }
    return low < this.size && compareUids(this.#words, low, wanted, at) === 0 ? low : -1;
  }

  /** 32 lower-case hex digits of the entry at an index. */
  at(index: number): string {
    return formatUid(this.uids, index);
  }
}
