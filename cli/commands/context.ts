/** What every command gets from `main`: the signal that stops it, and where its exit code goes. */
export interface Context {
  signal: AbortSignal;
  done(code: number): void;
}

/** Options that every command has. */
export interface CommonFlags {
  quiet?: boolean;
  json?: boolean;
}
