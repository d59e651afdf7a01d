/**
 * Byte-level BPE as CLIP's vocabulary has it: ids 0 to 255 are bytes, 256 to 511 the same at the end of a word,
 * then one id a merge in the order in which they were learned (Sennrich et al. 2016, arXiv 1508.07909; the byte
 * alphabet is GPT-2's).
 */
import { ModelError } from '../../errors.ts';
import { MinHeap } from './min-heap.ts';

/** The merges that CLIP's vocabulary of 49,408 uses: all but 512 bytes and the two marks. */
export const MERGE_COUNT = 49_408 - 512 - 2;
const WORD_END = 256;
const MERGES_FROM = 512;
const HINT = "Use the merges of the package's assets/clip-vocab, or open_clip's bpe_simple_vocab_16e6.txt";
/** Slots of the pair table; a power of two, at most half of them taken. */
const SLOTS = 1 << 17;
const NO_RANK = 0xffff;
/** A symbol that was merged into the one to its left, and the place past either end. */
const GONE = -1;
const END = -1;
/** Bytes up to which a word is merged without a heap. */
const SHORT_WORD = 48;
/** A heap entry is rank · POSITIONS + position, a safe integer. */
const POSITIONS = 2 ** 32;

/** For each byte its id as a symbol: its place in GPT-2's order of printable stand-ins for bytes. */
const BYTE_TO_ID: Uint8Array = byteIds();

export class BytePairs {
  readonly #pairs = new Uint32Array(SLOTS);
  readonly #ranks = new Uint16Array(SLOTS).fill(NO_RANK);
  readonly #shortSymbols = new Int32Array(SHORT_WORD);
  readonly #shortRanks = new Int32Array(SHORT_WORD);

  /** `text`: one merge a line, two symbols with a space between. Throws `ModelError`. */
  constructor(text: string) {
    const ids = new Map<string, number>();
    const alphabet = [...standIns()];
    alphabet.forEach((char, id) => {
      ids.set(char, id).set(`${char}</w>`, id + WORD_END);
    });
    const lines = text.split('\n', MERGE_COUNT + 1);
    // The published file starts with a line that names it.
    const from = lines[0].includes('#version') ? 1 : 0;
    for (let rank = 0; rank < MERGE_COUNT; rank++) {
      const [left, right, ...rest] = (lines[from + rank] ?? '').split(' ');
      const [a, b] = [ids.get(left), ids.get(right)];
      const merged = left + right;
      if (a === undefined || b === undefined || rest.length > 0 || ids.has(merged)) {
        const message = `merge ${rank + 1} of the CLIP vocabulary is not a pair of symbols known by then`;
        throw new ModelError(message, { hint: HINT });
      }
      this.#set(a, b, rank);
      ids.set(merged, MERGES_FROM + rank);
    }
  }

  /**
   * Ids of one word, given as its UTF-8 bytes (at least one). All places of the pair learned first are merged, from
   * the left, before any pair that this makes is considered.
   */
  encode(bytes: Uint8Array): number[] {
    return bytes.length <= SHORT_WORD ? this.#encodeShort(bytes) : this.#encodeLong(bytes);
  }

  /** Looks for the best pair anew each time: n² steps, the fewest while n is small. */
  #encodeShort(bytes: Uint8Array): number[] {
    const symbols = this.#shortSymbols;
    const ranks = this.#shortRanks;
    let length = bytes.length;
    for (let i = 0; i < length; i++) symbols[i] = BYTE_TO_ID[bytes[i]];
    symbols[length - 1] += WORD_END;
    for (let i = 0; i + 1 < length; i++) ranks[i] = this.#rank(symbols[i], symbols[i + 1]);
    for (;;) {
      let best = NO_RANK;
      for (let i = 0; i + 1 < length; i++) if (ranks[i] < best) best = ranks[i];
      if (best === NO_RANK) break;
      const merged = MERGES_FROM + best;
      let kept = 0;
      for (let i = 0; i < length; i++, kept++) {
        const merges = i + 1 < length && ranks[i] === best;
        if (merges) i++;
        symbols[kept] = merges ? merged : symbols[i];
        ranks[kept] = ranks[i];
      }
      length = kept;
      for (let i = 0; i + 1 < length; i++) {
        if (symbols[i] === merged || symbols[i + 1] === merged) {
          ranks[i] = this.#rank(symbols[i], symbols[i + 1]);
        }
      }
    }
    const ids: number[] = [];
    for (let i = 0; i < length; i++) ids.push(symbols[i]);
    return ids;
  }

  /** Keeps the places on a heap, by rank and then from the left: n·log n steps for a word of any length. */
  #encodeLong(bytes: Uint8Array): number[] {
    const length = bytes.length;
    const symbols = Int32Array.from(bytes, (byte) => BYTE_TO_ID[byte]);
    symbols[length - 1] += WORD_END;
    const next = Int32Array.from(symbols, (_, i) => (i + 1 < length ? i + 1 : END));
    const before = Int32Array.from(symbols, (_, i) => i - 1);
    const heap = new MinHeap();
    const offer = (at: number): void => {
      if (at === END || symbols[at] === GONE || next[at] === END) return;
      const rank = this.#rank(symbols[at], symbols[next[at]]);
      if (rank !== NO_RANK) heap.push(rank * POSITIONS + at);
    };
    for (let i = 0; i + 1 < length; i++) offer(i);
    const merged: number[] = [];
    for (let entry = heap.pop(); entry !== undefined; entry = heap.pop()) {
      const rank = Math.floor(entry / POSITIONS);
      const at = entry % POSITIONS;
      const right = next[at];
      // Merges since may have taken either symbol of the pair.
      if (symbols[at] !== GONE && right !== END && this.#rank(symbols[at], symbols[right]) === rank) {
        symbols[at] = MERGES_FROM + rank;
        symbols[right] = GONE;
        next[at] = next[right];
        if (next[at] !== END) before[next[at]] = at;
        merged.push(at);
      }
      if (heap.min !== undefined && Math.floor(heap.min / POSITIONS) === rank) continue;
      for (const place of merged) {
        offer(before[place]);
        offer(place);
      }
      merged.length = 0;
    }
    return Array.from(symbols).filter((id) => id !== GONE);
  }

  #set(a: number, b: number, rank: number): void {
    const slot = this.#slot(pairKey(a, b));
    this.#pairs[slot] = pairKey(a, b);
    this.#ranks[slot] = rank;
  }

  #rank(a: number, b: number): number {
    return this.#ranks[this.#slot(pairKey(a, b))];
  }

  /** The pair's slot, or the free one where it would go. */
  #slot(key: number): number {
    let slot = Math.imul(key, 0x9e3779b1) >>> (32 - 17);
    while (this.#ranks[slot] !== NO_RANK && this.#pairs[slot] !== key) slot = (slot + 1) & (SLOTS - 1);
    return slot;
  }
}

function pairKey(a: number, b: number): number {
  return ((a << 16) | b) >>> 0;
}

/** Bytes that print in Latin-1 stand for themselves and come first; the others follow as U+0100 and on. */
function printable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
}

function standIns(): string {
  const all = Array.from({ length: 256 }, (_, byte) => byte);
  const own = all.filter(printable);
  return String.fromCharCode(...own, ...all.filter((byte) => !printable(byte)).map((_, i) => 0x100 + i));
}

function byteIds(): Uint8Array {
  const ids = new Uint8Array(256);
  const all = Array.from({ length: 256 }, (_, byte) => byte);
  [...all.filter(printable), ...all.filter((byte) => !printable(byte))].forEach((byte, id) => {
    ids[byte] = id;
  });
  return ids;
}
