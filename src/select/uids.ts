/**
 * uids in memory: 128-bit numbers as pairs `[high, low]` of unsigned 64-bit integers in one `BigUint64Array`,
 * which is also how they lie in DataComp's npy. Work is done on the same memory as 32-bit words, because
 * reading a BigInt allocates. All runtimes that Shardsieve knows are little-endian, as the file is.
 */

/** `[high, low, high, low, …]`, two entries a uid. */
export type Uids = BigUint64Array<ArrayBuffer>;

/** 32-bit words of one uid, from the least to the most significant. */
const WORDS = [2, 3, 0, 1] as const;

const HEX = new Int8Array(256).fill(-1);
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/** The 32-bit words of uids. */
export function wordsOf(uids: Uids): Uint32Array<ArrayBuffer> {
  return new Uint32Array(uids.buffer, uids.byteOffset, uids.length * 2);
}

/**
 * Parses 32 hex digits, either case, into `words[4 * at …]`. Returns false where they are not that.
 * `digits` gives ASCII codes.
 */
export function parseUid(digits: ArrayLike<number>, words: Uint32Array, at: number): boolean {
  return digits.length === 32 && parseUidAt(digits, 0, words, at);
}

/** `parseUid` for the 32 digits from `start` on, which must be there. */
export function parseUidAt(
  digits: ArrayLike<number>,
  start: number,
  words: Uint32Array,
  at: number,
): boolean {
  let wrong = 0;
  for (let word = 0; word < 4; word++) {
    let value = 0;
    const first = start + word * 8;
    for (let i = first; i < first + 8; i++) {
      const digit = digits[i] < 256 ? HEX[digits[i]] : -1;
      wrong |= digit;
      value = (value << 4) | digit;
    }
    // High before low in hex; within 64 bits the low word lies first.
    words[4 * at + (word ^ 1)] = value;
  }
  return wrong >= 0;
}

/** `parseUid` for a string. */
export function parseUidText(uid: string, words: Uint32Array, at: number): boolean {
  const digits = new Uint16Array(uid.length === 32 ? 32 : 0);
  for (let i = 0; i < digits.length; i++) digits[i] = uid.charCodeAt(i);
  return parseUid(digits, words, at);
}

/** 32 lower-case hex digits of the uid at an index. */
export function formatUid(uids: Uids, index: number): string {
  const hex = (value: bigint) => value.toString(16).padStart(16, '0');
  return hex(uids[2 * index]) + hex(uids[2 * index + 1]);
}

/** Negative, zero or positive as the uid at `i` of `a` is below, equal to or above the one at `j` of `b`. */
export function compareUids(a: Uint32Array, i: number, b: Uint32Array, j: number): number {
  for (let word = 3; word >= 0; word--) {
    const difference = a[4 * i + WORDS[word]] - b[4 * j + WORDS[word]];
    if (difference !== 0) return difference;
  }
  return 0;
}

export function isSorted(uids: Uids): boolean {
  const words = wordsOf(uids);
  for (let i = 1; i < uids.length / 2; i++) if (compareUids(words, i - 1, words, i) > 0) return false;
  return true;
}

/** Buckets by the uppermost 16 bits. */
const BUCKETS = 1 << 16;
/** Room for a place within its bucket, beside 32 bits of the uid, in a double's 53 bits. */
const MAX_PLACES = 2 ** 21;

/**
 * A sorted copy. Uids are hashes: buckets by their first 16 bits are small, and in one of them the next 32 bits
 * tell nearly all apart, so those are sorted as plain numbers. Crowded buckets, which hashes do not make, are
 * sorted by comparison.
 */
export function sortUids(uids: Uids): Uids {
  const n = uids.length / 2;
  const words = wordsOf(uids);
  const ends = new Uint32Array(BUCKETS);
  for (let i = 0; i < n; i++) ends[words[4 * i + 1] >>> 16]++;
  for (let bucket = 0, sum = 0; bucket < BUCKETS; bucket++) {
    const count = ends[bucket];
    ends[bucket] = sum;
    sum += count;
  }
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[ends[words[4 * i + 1] >>> 16]++] = i;
  for (let bucket = 0, start = 0; bucket < BUCKETS; bucket++) {
    sortBucket(words, order.subarray(start, ends[bucket]));
    start = ends[bucket];
  }
  const sorted: Uids = new BigUint64Array(2 * n);
  const out = wordsOf(sorted);
  for (let i = 0; i < n; i++) {
    const from = 4 * order[i];
    for (let word = 0; word < 4; word++) out[4 * i + word] = words[from + word];
  }
  return sorted;
}

/** Sorts indexes of uids whose first 16 bits agree. */
function sortBucket(words: Uint32Array, order: Uint32Array): void {
  const n = order.length;
  if (n < 2) return;
  const compare = (i: number, j: number) => compareUids(words, i, words, j);
  if (n > MAX_PLACES) {
    order.sort(compare);
    return;
  }
  const bits = (i: number) => (words[4 * i + 1] & 0xffff) * 2 ** 16 + (words[4 * i] >>> 16);
  const keys = new Float64Array(n);
  for (let place = 0; place < n; place++) keys[place] = bits(order[place]) * MAX_PLACES + place;
  keys.sort();
  const before = order.slice();
  for (let place = 0; place < n; place++) order[place] = before[keys[place] % MAX_PLACES];
  for (let start = 0; start < n; ) {
    let end = start + 1;
    while (end < n && bits(order[end]) === bits(order[start])) end++;
    if (end - start > 1) order.subarray(start, end).sort(compare);
    start = end;
  }
}

/** How many different uids there are in sorted ones. */
export function countDistinct(sorted: Uids): number {
  const words = wordsOf(sorted);
  let distinct = 0;
  for (let i = 0; i < sorted.length / 2; i++) {
    if (i === 0 || compareUids(words, i - 1, words, i) !== 0) distinct++;
  }
  return distinct;
}

/** Sorted uids without their repeats; the same array where there are none. */
export function dropRepeats(sorted: Uids): Uids {
  const distinct = countDistinct(sorted);
  if (2 * distinct === sorted.length) return sorted;
  const words = wordsOf(sorted);
  const out = new BigUint64Array(2 * distinct);
  let kept = 0;
  for (let i = 0; i < sorted.length / 2; i++) {
    if (i > 0 && compareUids(words, i - 1, words, i) === 0) continue;
    out[2 * kept] = sorted[2 * i];
    out[2 * kept + 1] = sorted[2 * i + 1];
    kept++;
  }
  return out;
}

/** Uids that are gathered one at a time; memory grows by doubling. */
export class UidList {
  #uids: Uids = new BigUint64Array(2 * 1024);
  #words = wordsOf(this.#uids);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Takes one uid of another array of words. */
  push(words: Uint32Array, at: number): void {
    if (2 * this.#length === this.#uids.length) {
      const grown: Uids = new BigUint64Array(2 * this.#uids.length);
      grown.set(this.#uids);
      this.#uids = grown;
      this.#words = wordsOf(grown);
    }
    for (let word = 0; word < 4; word++) this.#words[4 * this.#length + word] = words[4 * at + word];
    this.#length++;
  }

  /** What was gathered, in order; no copy. */
  take(): Uids {
    return this.#uids.subarray(0, 2 * this.#length);
  }
}
