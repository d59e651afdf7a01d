export interface StopSignal {
  readonly signal: AbortSignal;
  /** The exit code that a received signal asks for: 128 and its number. */
  code(): number | undefined;
  close(): void;
}

const NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;

/** First Ctrl-C or SIGTERM: stop cleanly. The second: at once; temporary files are swept by the next run. */
export function stopSignal(): StopSignal {
  const controller = new AbortController();
  let code: number | undefined;
  const handlers = Object.entries(NUMBERS).map(([name, number]) => {
    const handler = (): void => {
      if (code !== undefined) process.exit(128 + number);
      code = 128 + number;
      controller.abort();
    };
    process.on(name, handler);
    return { name, handler };
  });
  return {
    signal: controller.signal,
    code: () => code,
    close: () => {
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
}
