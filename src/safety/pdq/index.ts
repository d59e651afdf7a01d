/**
 * Which of many PDQ hashes lies within a distance of a given one.
 *
 * Multi-index hashing (Norouzi, Punjani and Fleet, 2014), as Meta recommends for PDQ: a hash is cut into 16 pieces of
 * 16 bits. Two hashes that differ in at most `d` bits differ in at most `d / 8` bits in one of 8 pairs of pieces at least,
 * and in one piece of that pair in at most half of those. So the entries that have a piece near the wanted one are looked
 * up, and of them only those whose other piece of the pair is near enough too are compared. With a million entries and
 * `d` = 31 that looks at 4,000 pairs and compares 40 hashes.
 */
import { parseHex } from '../block/hex-set.ts';

/** Bits that may differ: Meta's starting point (facebook/ThreatExchange, pdq/README.md, "Matching": ≤ 31). */
export const PDQ_DISTANCE = 31;
/** Unrelated pictures lie about 128 bits apart; past a quarter of all bits a match says nothing. */
export const MAX_PDQ_DISTANCE = 63;

const WORDS = 8;
const PIECES = 16;
const VALUES = 1 << 16;
/** Fewer entries than this are compared one by one. */
const INDEXED_FROM = 4096;

/** Bits set in a 32-bit word. */
function popcount(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Bits in which two hashes of 64 hex digits differ, 0–256; `NaN` where one is no hash. */
export function pdqDistance(a: string, b: string): number {
  const words = new Uint32Array(2 * WORDS);
  if (!parseHex(a, words, 0, WORDS) || !parseHex(b, words, WORDS, WORDS)) return Number.NaN;
  let bits = 0;
  for (let i = 0; i < WORDS; i++) bits += popcount(words[i] ^ words[WORDS + i]);
  return bits;
}

/** Masks over 16 bits with at most `bits` of them set. */
function masks(bits: number): Uint16Array<ArrayBuffer> {
  const found: number[] = [];
  for (let mask = 0; mask < VALUES; mask++) if (popcount(mask) <= bits) found.push(mask);
  return Uint16Array.from(found);
}

/** Entries are added first; the first question builds the index. */
export class PdqIndex {
  #words = new Uint32Array(64 * WORDS);
  /** Bits that each entry allows. */
  #allowed = new Uint8Array(64);
  #size = 0;
  #furthest = 0;
  /** For each piece, where the entries with each of its values begin in `#entries`; empty until built. */
  #starts: Uint32Array[] = [];
  #entries: Uint32Array[] = [];
  /** For each piece and in the order of its entries, the other piece of the pair. */
  #others: Uint16Array[] = [];
  /** Bits that may differ in a pair. */
  #pairBound = 0;
  #masks = new Uint16Array(0);
  readonly #wanted = new Uint32Array(WORDS);

  get size(): number {
    return this.#size;
  }

  /** Adds a hash (64 hex digits) that matches up to `distance` bits, 0–63. False where it is no hash. */
  add(hash: string, distance: number): boolean {
    if (!parseHex(hash, this.#wanted, 0, WORDS)) return false;
    if (this.#size === this.#allowed.length) {
      const words = new Uint32Array(this.#words.length * 2);
      words.set(this.#words);
      const allowed = new Uint8Array(this.#allowed.length * 2);
      allowed.set(this.#allowed);
      [this.#words, this.#allowed] = [words, allowed];
    }
    this.#words.set(this.#wanted, this.#size * WORDS);
    this.#allowed[this.#size++] = distance;
    this.#furthest = Math.max(this.#furthest, distance);
    this.#starts = [];
    return true;
  }

  /** Whether some entry lies within its distance of a hash; `null` where the text is no hash of 64 hex digits. */
  matches(hash: string): boolean | null {
    const wanted = this.#wanted;
    if (!parseHex(hash, wanted, 0, WORDS)) return null;
    if (this.#size < INDEXED_FROM) {
      for (let entry = 0; entry < this.#size; entry++) if (this.#near(entry)) return true;
      return false;
    }
    if (this.#starts.length === 0) this.#build();
    for (let piece = 0; piece < PIECES; piece++) {
      const value = pieceOf(wanted, 0, piece);
      const starts = this.#starts[piece];
      const entries = this.#entries[piece];
      const others = this.#others[piece];
      const other = pieceOf(wanted, 0, piece ^ 1);
      for (const mask of this.#masks) {
        const bucket = value ^ mask;
        const left = this.#pairBound - popcount(mask);
        for (let i = starts[bucket]; i < starts[bucket + 1]; i++) {
          if (popcount(others[i] ^ other) <= left && this.#near(entries[i])) return true;
        }
      }
    }
    return false;
  }

  #near(entry: number): boolean {
    const at = entry * WORDS;
    const allowed = this.#allowed[entry];
    let bits = 0;
    for (let i = 0; i < WORDS; i++) {
      bits += popcount(this.#words[at + i] ^ this.#wanted[i]);
      if (bits > allowed) return false;
    }
    return true;
  }

  #build(): void {
    this.#pairBound = Math.floor(this.#furthest / (PIECES / 2));
    this.#masks = masks(Math.floor(this.#pairBound / 2));
    this.#entries = [];
    this.#others = [];
    for (let piece = 0; piece < PIECES; piece++) {
      const starts = new Uint32Array(VALUES + 1);
      for (let entry = 0; entry < this.#size; entry++) starts[pieceOf(this.#words, entry, piece) + 1]++;
      for (let value = 0; value < VALUES; value++) starts[value + 1] += starts[value];
      const next = starts.slice();
      const entries = new Uint32Array(this.#size);
      for (let entry = 0; entry < this.#size; entry++) {
        entries[next[pieceOf(this.#words, entry, piece)]++] = entry;
      }
      this.#others.push(Uint16Array.from(entries, (entry) => pieceOf(this.#words, entry, piece ^ 1)));
      this.#starts.push(starts);
      this.#entries.push(entries);
    }
  }
}

function pieceOf(words: Uint32Array, entry: number, piece: number): number {
  const word = words[entry * WORDS + (piece >>> 1)];
  return piece % 2 === 0 ? word >>> 16 : word & 0xffff;
}
