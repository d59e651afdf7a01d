/**
 * uids in memory: 128-bit numbers as pairs `[high, low]` of unsigned 64-bit integers in one `BigUint64Array`,
 * which is also how they lie in DataComp's npy. Work is done on the same memory as 32-bit words, because
 * reading a BigInt allocates. All runtimes that Shardsieve knows are little-endian, as the file is.
 */

/** `[high, low, high, low, …]`, two entries a uid. */
export type Uids = BigUint64Array<ArrayBuffer>;

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
 * `digits` are ASCII codes.
 */
export function parseUid(digits: Uint8Array, words: Uint32Array, at: number): boolean {
  return digits.length === 32 && parseUidAt(digits, 0, words, at);
}

/** `parseUid` for the 32 digits from `start` on, which must be there. */
export function parseUidAt(digits: Uint8Array, start: number, words: Uint32Array, at: number): boolean {
  let wrong = 0;
  // A word at a time and without a loop over its digits: this runs for every uid of a subset.
  for (let word = 0, i = start; word < 4; word++, i += 8) {
    const a = HEX[digits[i]];
    const b = HEX[digits[i + 1]];
    const c = HEX[digits[i + 2]];
    const d = HEX[digits[i + 3]];
    const e = HEX[digits[i + 4]];
    const f = HEX[digits[i + 5]];
    const g = HEX[digits[i + 6]];
    const h = HEX[digits[i + 7]];
    wrong |= a | b | c | d | e | f | g | h;
    // High before low in hex; within 64 bits the low word lies first.
    words[4 * at + (word ^ 1)] =
      (a << 28) | (b << 24) | (c << 20) | (d << 16) | (e << 12) | (f << 8) | (g << 4) | h;
  }
  return wrong >= 0;
}

/** `parseUid` for a string. */
export function parseUidText(uid: string, words: Uint32Array, at: number): boolean {
  const digits = new Uint8Array(uid.length === 32 ? 32 : 0);
  // Any other sign becomes one that is no digit.
  for (let i = 0; i < digits.length; i++) digits[i] = Math.min(uid.charCodeAt(i), 0xff);
  return parseUid(digits, words, at);
}

/** 32 lower-case hex digits of the uid at an index. */
export function formatUid(uids: Uids, index: number): string {
  const hex = (value: bigint) => value.toString(16).padStart(16, '0');
  return hex(uids[2 * index]) + hex(uids[2 * index + 1]);
}

/** Negative, zero or positive as the uid at `i` of `a` is below, equal to or above the one at `j` of `b`. */
export function compareUids(a: Uint32Array, i: number, b: Uint32Array, j: number): number {
  return (
    a[4 * i + 1] - b[4 * j + 1] ||
    a[4 * i] - b[4 * j] ||
    a[4 * i + 3] - b[4 * j + 3] ||
    a[4 * i + 2] - b[4 * j + 2]
  );
}

export function isSorted(uids: Uids): boolean {
  const words = wordsOf(uids);
  for (let i = 1; i < uids.length / 2; i++) if (compareUids(words, i - 1, words, i) > 0) return false;
  return true;
}

/** Uids in a bucket, about, where they are hashes: few enough to be put in order one by one. */
const IN_BUCKET = 8;
const MAX_BUCKET_BITS = 24;
/** Buckets larger than this, which hashes do not make, are sorted by comparison. */
const CROWDED = 1024;

/**
 * A sorted copy. Uids are hashes, so their uppermost bits spread them evenly over buckets; a bucket of a few is then
 * sorted by insertion, within the processor's cache.
 */
export function sortUids(uids: Uids): Uids {
  const n = uids.length / 2;
  const words = wordsOf(uids);
  const bits = Math.min(MAX_BUCKET_BITS, Math.max(1, Math.floor(Math.log2(n / IN_BUCKET + 1))));
  const shift = 32 - bits;
  const ends = new Uint32Array(2 ** bits);
  for (let i = 0; i < n; i++) ends[words[4 * i + 1] >>> shift]++;
  for (let bucket = 0, sum = 0; bucket < ends.length; bucket++) {
    const count = ends[bucket];
    ends[bucket] = sum;
    sum += count;
  }
  const sorted: Uids = new BigUint64Array(2 * n);
  const out = wordsOf(sorted);
  for (let i = 0; i < n; i++) {
    const to = 4 * ends[words[4 * i + 1] >>> shift]++;
    out[to] = words[4 * i];
    out[to + 1] = words[4 * i + 1];
    out[to + 2] = words[4 * i + 2];
    out[to + 3] = words[4 * i + 3];
  }
  for (let bucket = 0, start = 0; bucket < ends.length; bucket++) {
    const end = ends[bucket];
    if (end - start > CROWDED) sortCrowded(out, start, end);
    else insert(out, start, end);
    start = end;
  }
  return sorted;
}

/** Insertion sort of the uids `[start, end)`. */
function insert(words: Uint32Array, start: number, end: number): void {
  for (let i = start + 1; i < end; i++) {
    if (compareUids(words, i - 1, words, i) <= 0) continue;
    const a = words[4 * i];
    const b = words[4 * i + 1];
    const c = words[4 * i + 2];
    const d = words[4 * i + 3];
    let to = i;
    for (; to > start; to--) {
      const at = 4 * to - 4;
      const difference = words[at + 1] - b || words[at] - a || words[at + 3] - d || words[at + 2] - c;
      if (difference <= 0) break;
      words[at + 4] = words[at];
      words[at + 5] = words[at + 1];
      words[at + 6] = words[at + 2];
      words[at + 7] = words[at + 3];
    }
    words[4 * to] = a;
    words[4 * to + 1] = b;
    words[4 * to + 2] = c;
    words[4 * to + 3] = d;
  }
}

/** Sorts the uids `[start, end)` by comparison. */
function sortCrowded(words: Uint32Array, start: number, end: number): void {
  const before = words.slice(4 * start, 4 * end);
  const order = Uint32Array.from({ length: end - start }, (_, i) => i);
  order.sort((i, j) => compareUids(before, i, before, j));
  for (let i = 0; i < order.length; i++) {
    for (let word = 0; word < 4; word++) words[4 * (start + i) + word] = before[4 * order[i] + word];
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
