import type { WriteStream } from 'node:tty';

/** What the process's streams can show; read once, handed to whoever writes. */
export interface Terminal {
  /** Progress, notes and errors; never data. */
  err(text: string): void;
  /** Data: summaries and `--json`. */
  out(text: string): void;
  /** True where stderr is a terminal that can redraw a line. */
  readonly live: boolean;
  readonly columns: number;
  red(text: string): string;
}

/** `NO_COLOR` (any non-empty value) and a stream that is no terminal turn colours off; see no-color.org. */
export function openTerminal(options: { quiet: boolean; env?: NodeJS.ProcessEnv }): Terminal {
  const env = options.env ?? process.env;
  const stderr = process.stderr as WriteStream;
  const colour = stderr.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return {
    err: (text) => {
      if (!options.quiet) process.stderr.write(text);
    },
    out: (text) => {
      process.stdout.write(text);
    },
    live: stderr.isTTY === true && env['TERM'] !== 'dumb' && !options.quiet,
    // A pseudo-terminal that was never sized says 0.
    columns: stderr.columns || 80,
    red: (text) => (colour ? `\x1b[31m${text}\x1b[0m` : text),
  };
}
