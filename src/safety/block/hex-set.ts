/**
 * A set of hashes of one length, packed: 32 bytes a SHA-256 and a slot of an index, where a `Set` of strings
 * would take some 150. Lists of known pictures have millions of them.
 */

const HEX = new Int8Array(128).fill(-1);
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/**
 * Reads `8 * words.length / stride` hex digits, either case, into `stride` words from `at`, the first digits first.
 * False where the text has another length or another character.
 */
export function parseHex(text: string, words: Uint32Array, at: number, stride: number): boolean {
  if (text.length !== stride * 8) return false;
  let wrong = 0;
  for (let word = 0, i = 0; word < stride; word++) {
    let value = 0;
    for (const end = i + 8; i < end; i++) {
      const code = text.charCodeAt(i);
      const digit = code < 128 ? HEX[code] : -1;
      wrong |= digit;
      value = (value << 4) | digit;
    }
    words[at + word] = value;
  }
  return wrong >= 0;
}

export class HexSet {
  readonly #stride: number;
  readonly #wanted: Uint32Array;
  #words: Uint32Array;
  /** Index of an entry + 1 by the slot of its hash; 0 is free. At most half full. */
  #slots = new Uint32Array(16);
  #size = 0;

  /** `digits` of every entry: a multiple of 8. */
  constructor(digits: number) {
    this.#stride = digits / 8;
    this.#wanted = new Uint32Array(this.#stride);
    this.#words = new Uint32Array(this.#stride * 8);
  }

  /** Different entries. */
  get size(): number {
    return this.#size;
  }

  /** False where the text is no hash of this length. */
  add(text: string): boolean {
    if (!parseHex(text, this.#wanted, 0, this.#stride)) return false;
    const slot = this.#slot();
    if (this.#slots[slot] !== 0) return true;
    if ((this.#size + 1) * this.#stride > this.#words.length) {
      const grown = new Uint32Array(this.#words.length * 2);
      grown.set(this.#words);
      this.#words = grown;
    }
    this.#words.set(this.#wanted, this.#size * this.#stride);
    this.#slots[slot] = ++this.#size;
    if (this.#size * 2 > this.#slots.length) this.#rehash();
    return true;
  }

  /** `null` where the text is no hash of this length. */
  has(text: string): boolean | null {
    if (!parseHex(text, this.#wanted, 0, this.#stride)) return null;
    return this.#slots[this.#slot()] !== 0;
  }

  /** The slot of the wanted entry, or the free one where it would go. */
  #slot(): number {
    const mask = this.#slots.length - 1;
    let slot = mix(this.#wanted, 0, this.#stride) & mask;
    while (this.#slots[slot] !== 0 && !this.#equals(this.#slots[slot] - 1)) slot = (slot + 1) & mask;
    return slot;
  }

  #equals(entry: number): boolean {
    const at = entry * this.#stride;
    for (let i = 0; i < this.#stride; i++) if (this.#words[at + i] !== this.#wanted[i]) return false;
    return true;
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 4);
    const mask = this.#slots.length - 1;
    for (let entry = 0; entry < this.#size; entry++) {
      let slot = mix(this.#words, entry * this.#stride, this.#stride) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = entry + 1;
    }
  }
}

/** Real hashes would do without; made-up ones (uids that are counted up) differ in their last digits only. */
function mix(words: Uint32Array, at: number, count: number): number {
  let hash = 0;
  for (let i = at; i < at + count; i++) hash = Math.imul(hash ^ words[i], 0x9e3779b1) ^ (hash >>> 15);
  return (hash ^ (hash >>> 16)) >>> 0;
}
