import { count, duration, percent, rate } from './format.ts';
import type { Terminal } from './terminal.ts';

/** Redraws of the bar, and lines where there is no bar. */
const BAR_EVERY_MS = 120;
const LINE_EVERY_MS = 10_000;
const BAR_WIDTH = 24;

/**
 * Shards and samples done, samples a second, time left: a bar on a terminal, plain lines otherwise, nothing with
 * `--quiet`. Time left goes by bytes, which are known beforehand: those behind the last sample that came out, not those read ahead.
 */
export class Progress {
  readonly #terminal: Terminal;
  readonly #shards: number;
  readonly #totalBytes: number | undefined;
  readonly #started = performance.now();
  #doneShards = 0;
  #samples = 0;
  /** Bytes of the shards that are done, and of the current ones behind their last samples. */
  #doneBytes = 0;
  readonly #positions = new Map<string, number>();
  #lastDrawn: number;
  #drawn = false;

  /** `totalBytes` is undefined where an input's size is not known (stdin). */
  constructor(terminal: Terminal, shards: number, totalBytes: number | undefined) {
    this.#terminal = terminal;
    this.#shards = shards;
    this.#totalBytes = totalBytes;
    this.#lastDrawn = terminal.live ? 0 : this.#started;
  }

  addBytes(bytes: number): void {
    this.#positions.set('', (this.#positions.get('') ?? 0) + bytes);
    this.#tick();
  }

  /** `position`: bytes of its shard behind this sample, where known; several shards may be under way. */
  addSample(position?: number, shard = ''): void {
    this.#samples++;
    if (position !== undefined) this.#positions.set(shard, position);
    this.#tick();
  }

  /** `bytes`: the size of the shard's input, where known. */
  shardDone(bytes?: number, shard = ''): void {
    this.#doneShards++;
    this.#doneBytes += bytes ?? this.#positions.get(shard) ?? this.#positions.get('') ?? 0;
    this.#positions.delete(shard);
    this.#positions.delete('');
    this.#tick();
  }

  /** A line that stays, above the bar. */
  note(text: string): void {
    this.#clear();
    this.#terminal.err(`${text}\n`);
  }

  /** Takes the bar away. */
  close(): void {
    this.#clear();
  }

  #tick(): void {
    const now = performance.now();
    if (now - this.#lastDrawn < (this.#terminal.live ? BAR_EVERY_MS : LINE_EVERY_MS)) return;
    this.#lastDrawn = now;
    const text = this.#line((now - this.#started) / 1000);
    if (!this.#terminal.live) {
      this.#terminal.err(`${text}\n`);
      return;
    }
    this.#terminal.err(`\r\x1b[2K${text.slice(0, this.#terminal.columns - 1)}`);
    this.#drawn = true;
  }

  #line(seconds: number): string {
    const share = this.#share();
    const parts = [
      `${count(this.#doneShards)}/${count(this.#shards)} shards`,
      `${count(this.#samples)} samples`,
      `${rate(this.#samples / seconds)}/s`,
    ];
    if (share !== undefined && share > 0) {
      parts.push(share < 1 ? `${duration((seconds * (1 - share)) / share)} left` : 'finishing');
    }
    if (!this.#terminal.live) {
      return `${share === undefined ? '' : `${percent(share, 1)}  `}${parts.join('  ')}`;
    }
    const figures = parts.join('  ');
    // On a narrow terminal the bar gives way, not the figures.
    const width = Math.max(0, Math.min(BAR_WIDTH, this.#terminal.columns - 2 - figures.length));
    const filled = Math.round((share ?? 0) * width);
    return width === 0 ? figures : `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${figures}`;
  }

  #share(): number | undefined {
    if (this.#totalBytes === undefined || this.#totalBytes === 0) return undefined;
    const current = [...this.#positions.values()].reduce((sum, bytes) => sum + bytes, 0);
    return Math.min(1, (this.#doneBytes + current) / this.#totalBytes);
  }

  #clear(): void {
    if (this.#drawn) this.#terminal.err('\r\x1b[2K');
    this.#drawn = false;
  }
}
