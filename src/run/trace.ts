/**
 * A run as Chrome's trace format shows it (chrome://tracing, ui.perfetto.dev): a row for each thing that a stage does at
 * a time, so that spans of one row never overlap, and counters for queues. Source of the format: “Trace Event Format”,
 * Google, complete events `X`, counters `C`, metadata `M`, in the array form.
 */
import { type About, STAGES, type Stage, type Watch } from '../score/stages.ts';

/** Rows of one stage have numbers from its place times this. */
const MOST_ROWS = 1000;

/** Sums the seconds of each stage, and where `onEvent` is given tells each span and counter as a line of JSON. */
export class Tracer implements Watch {
  /** Of all pieces of work of a stage together: those at the same time count each. */
  readonly seconds = new Map<Stage, number>();
  readonly #now: () => number;
  readonly #onEvent: ((json: string) => void) | undefined;
  readonly #busy = new Map<Stage, boolean[]>();
  readonly #queues = new Map<string, number>();
  readonly #started: number;

  /** `now`: milliseconds of a clock that does not jump. */
  constructor(now: () => number, onEvent?: (json: string) => void) {
    this.#now = now;
    this.#onEvent = onEvent;
    this.#started = now();
  }

  begin(stage: Stage, about: About): (isPiece?: boolean) => void {
    const from = this.#now();
    const row = this.#onEvent === undefined ? 0 : this.#takeRow(stage);
    return (isPiece = true) => {
      const to = this.#now();
      if (this.#onEvent !== undefined) this.#busy.get(stage)![row] = false;
      if (!isPiece) return;
      this.seconds.set(stage, (this.seconds.get(stage) ?? 0) + (to - from) / 1000);
      if (this.#onEvent === undefined) return;
      const times = { ts: this.#micros(from), dur: Math.round((to - from) * 1000) };
      this.#tell({ ph: 'X', name: stage, cat: stage, ...times, tid: rowNumber(stage, row), args: about });
    };
  }

  queued(queue: string, more: number): void {
    const waiting = (this.#queues.get(queue) ?? 0) + more;
    this.#queues.set(queue, waiting);
    if (more !== 0) this.#tell({ ph: 'C', name: queue, ts: this.#micros(this.#now()), args: { waiting } });
  }

  /** The lowest row of the stage on which nothing is under way. */
  #takeRow(stage: Stage): number {
    const rows = this.#busy.get(stage) ?? [];
    this.#busy.set(stage, rows);
    const free = rows.indexOf(false);
    const row = free < 0 ? rows.length : free;
    if (free < 0) {
      const tid = rowNumber(stage, row);
      this.#tell({ ph: 'M', name: 'thread_name', tid, args: { name: `${stage} ${row + 1}` } });
      this.#tell({ ph: 'M', name: 'thread_sort_index', tid, args: { sort_index: tid } });
    }
    rows[row] = true;
    return row;
  }

  #micros(at: number): number {
    return Math.round((at - this.#started) * 1000);
  }

  #tell(event: object): void {
    this.#onEvent?.(JSON.stringify({ pid: 1, ...event }));
  }
}

function rowNumber(stage: Stage, row: number): number {
  return (STAGES.indexOf(stage) + 1) * MOST_ROWS + row;
}
