import { type Random, seededRandom } from '../safety/heads/train/random.ts';

/**
 * Draws `wanted` of `rows` rows in one pass, every set of them equally likely, the same on every run (selection
 * sampling: Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S). All rows where there are no more.
 */
export class EvenDraw {
  #left: number;
  #wanted: number;
  readonly #random: Random;

  constructor(rows: number, wanted: number, seed = 0) {
    this.#left = rows;
    this.#wanted = Math.min(rows, wanted);
    this.#random = seededRandom(seed);
  }

  /** Whether the next row is drawn. To be asked once a row. */
  next(): boolean {
    const drawn = this.#wanted > 0 && this.#random.next() * this.#left < this.#wanted;
    this.#left--;
    if (drawn) this.#wanted--;
    return drawn;
  }
}
