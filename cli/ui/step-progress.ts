import { percent } from './format.ts';
import type { Terminal } from './terminal.ts';

const REDRAW_MS = 120;
const LINE_MS = 10_000;

/** How far a long step is: one line redrawn on a terminal, a line every ten seconds otherwise. */
export class StepProgress {
  readonly #terminal: Terminal;
  #last: number;
  #drawn = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#last = performance.now();
  }

  readonly onProgress = ({ step, share }: { step: string; share: number }): void => {
    const { live, columns } = this.#terminal;
    const now = performance.now();
    if (now - this.#last < (live ? REDRAW_MS : LINE_MS)) return;
    this.#last = now;
    const text = `${step}: ${percent(share, 1)}`;
    this.#terminal.err(live ? `\r\x1b[2K${text.slice(0, columns - 1)}` : `${text}\n`);
    this.#drawn = live;
  };

  /** Takes the line away. */
  close(): void {
    if (this.#drawn) this.#terminal.err('\r\x1b[2K');
  }
}
