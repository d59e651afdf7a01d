/** Which rows would be shown, where showing them is asked for. Only their places are kept, never their content. */
import { seededRandom } from '../safety/heads/train/random.ts';
import type { Watcher } from './measure.ts';
import { UNJUDGED } from './states.ts';

/** Rows of each kind: enough to see what a threshold does, few enough to bear. */
const ROWS = 12;

export interface Example {
  row: number;
  score: number;
}

/** Of one measure at its first threshold: removed rows drawn evenly, and the kept ones with the highest scores. */
export class Examples implements Watcher {
  readonly #measure: number;
  readonly #random = seededRandom(0);
  readonly #removed: Example[] = [];
  readonly #kept: Example[] = [];
  #seen = 0;

  constructor(measure: number) {
    this.#measure = measure;
  }

  add(
    start: number,
    values: readonly ArrayLike<number>[],
    states: readonly Uint8Array[],
    rows: number,
  ): void {
    const [own, state] = [values[this.#measure], states[this.#measure]];
    for (let i = 0; i < rows; i++) {
      if (state[i] === UNJUDGED) continue;
      const example = { row: start + i, score: own[i] };
      if (state[i] & 1) this.#draw(example);
      else this.#compare(example);
    }
  }

  sets(): { title: string; rows: Example[] }[] {
    return [
      { title: 'Removed, drawn evenly', rows: this.#removed.toSorted((a, b) => b.score - a.score) },
      { title: 'Kept, the highest scores', rows: this.#kept },
    ];
  }

  /** A reservoir: every removed row is as likely to be in it. */
  #draw(example: Example): void {
    this.#seen++;
    if (this.#removed.length < ROWS) this.#removed.push(example);
    else {
      const at = Math.floor(this.#random.next() * this.#seen);
      if (at < ROWS) this.#removed[at] = example;
    }
  }

  #compare(example: Example): void {
    const kept = this.#kept;
    if (kept.length === ROWS && example.score <= kept[ROWS - 1].score) return;
    const at = kept.findIndex(({ score }) => score < example.score);
    kept.splice(at < 0 ? kept.length : at, 0, example);
    if (kept.length > ROWS) kept.pop();
  }
}
