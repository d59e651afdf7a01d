/** The web's own streams as what the readers take. */
import { CancelledError } from '../errors.ts';

/**
 * The chunks of a body, each asked for when the one before has been used up, so that whoever sends it waits. Ending the
 * loop early, or the signal, tells the sender to stop. Throws `CancelledError` on the signal, and what the body throws.
 *
 * @param idle for whom is waited too long: milliseconds a chunk may take, and what is then thrown.
 */
export async function* streamBytes(
  body: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
  idle?: { ms: number; error(): Error },
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = body.getReader();
  const reads = stoppableReads(reader);
  const abort = (): void => reads.stop(new CancelledError('stopped while reading'));
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  try {
    for (;;) {
      const timer = idle === undefined ? undefined : setTimeout(() => reads.stop(idle.error()), idle.ms);
      const step = await reads.read().finally(() => clearTimeout(timer));
      if (step.done) return;
      yield step.value;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
    await reader.cancel().catch(() => undefined);
  }
}

/** Reads that end when they are told to, which a stream's own do not. */
export interface StoppableReads<T> {
  /** Throws what `stop` was called with, and what the stream throws. */
  read(): Promise<ReadableStreamReadResult<T>>;
  /** Ends the read that is waited for, and all that come. The reader is not cancelled by it. */
  stop(error: Error): void;
}

/**
 * Each read has a promise of its own. One promise for all, raced against each read, would keep what every read was
 * resolved with until it settles itself: a streamed body would be held whole.
 */
export function stoppableReads<T>(reader: ReadableStreamDefaultReader<T>): StoppableReads<T> {
  let stopped: { error: Error } | undefined;
  let refuse: ((error: Error) => void) | undefined;
  return {
    async read() {
      if (stopped !== undefined) throw stopped.error;
      try {
        return await new Promise((resolve, reject) => {
          refuse = reject;
          reader.read().then(resolve, reject);
        });
      } finally {
        refuse = undefined;
      }
    },
    stop(error) {
      stopped ??= { error };
      refuse?.(error);
    },
  };
}
