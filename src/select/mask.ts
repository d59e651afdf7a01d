/** One bit a row of a pool, in the pool's order: 1.6 MB for the 12.8 million rows of DataComp's small scale. */
export class RowMask {
  readonly rows: number;
  readonly #words: Uint32Array;

  /** Empty, or with every row in it. */
  constructor(rows: number, full = false) {
    this.rows = rows;
    this.#words = new Uint32Array(Math.ceil(rows / 32));
    if (full) this.#fill();
  }

  get(row: number): boolean {
    return ((this.#words[row >>> 5] >>> (row & 31)) & 1) === 1;
  }

  set(row: number): void {
    this.#words[row >>> 5] |= 1 << (row & 31);
  }

  clear(row: number): void {
    this.#words[row >>> 5] &= ~(1 << (row & 31));
  }

  /** The three change this mask and return it. */
  and(other: RowMask): this {
    for (let i = 0; i < this.#words.length; i++) this.#words[i] &= other.#words[i];
    return this;
  }

  or(other: RowMask): this {
    for (let i = 0; i < this.#words.length; i++) this.#words[i] |= other.#words[i];
    return this;
  }

  andNot(other: RowMask): this {
    for (let i = 0; i < this.#words.length; i++) this.#words[i] &= ~other.#words[i];
    return this;
  }

  clone(): RowMask {
    const copy = new RowMask(this.rows);
    copy.#words.set(this.#words);
    return copy;
  }

  /** A new mask of the rows that are not in this one. */
  inverse(): RowMask {
    return new RowMask(this.rows, true).andNot(this);
  }

  count(): number {
    let sum = 0;
    for (let i = 0; i < this.#words.length; i++) sum += bitsOf(this.#words[i]);
    return sum;
  }

  /** How many rows are in both. */
  countBoth(other: RowMask): number {
    let sum = 0;
    for (let i = 0; i < this.#words.length; i++) sum += bitsOf(this.#words[i] & other.#words[i]);
    return sum;
  }

  /** Whether any of the rows `[start, end)` is in the mask. */
  any(start: number, end: number): boolean {
    for (let row = start; row < end; ) {
      if ((row & 31) === 0 && row + 32 <= end) {
        if (this.#words[row >>> 5] !== 0) return true;
        row += 32;
      } else if (this.get(row)) return true;
      else row++;
    }
    return false;
  }

  /** The first row in the mask, or −1. */
  first(): number {
    const word = this.#words.findIndex((bits) => bits !== 0);
    return word < 0 ? -1 : 32 * word + 31 - Math.clz32(this.#words[word] & -this.#words[word]);
  }

  #fill(): void {
    this.#words.fill(0xffffffff);
    const over = this.#words.length * 32 - this.rows;
    if (over > 0) this.#words[this.#words.length - 1] >>>= over;
  }
}

function bitsOf(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
