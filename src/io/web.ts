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
  let stop: (error: Error) => void = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = reject;
  });
  stopped.catch(() => {});
  const abort = (): void => stop(new CancelledError('stopped while reading'));
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  try {
    for (;;) {
      const timer = idle === undefined ? undefined : setTimeout(() => stop(idle.error()), idle.ms);
      const step = await Promise.race([reader.read(), stopped]).finally(() => clearTimeout(timer));
      if (step.done) return;
      yield step.value;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
    await reader.cancel().catch(() => undefined);
  }
}
