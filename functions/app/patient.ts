/** Models for work that can wait: where the batches are full, it asks again instead of failing. */
import type { Embedder } from '../../src/clip/embedder.ts';
import { BusyError } from '../../src/errors.ts';
import { pause } from '../../src/io/pause.ts';
import { TowersReplaced } from '../towers/client.ts';

/** Milliseconds that one call waits for room in all: longer than requests fill the batches unless it is for good. */
const PATIENCE_MS = 120_000;

/**
 * The same embedder, but that a `BusyError` is waited out: `retryAfter` seconds, then the call is made again, until
 * `patienceMs` have gone and the error is thrown. `TowersReplaced` is thrown at once: for this embedder there is no
 * later. Throws `CancelledError` as soon as a call's signal fires.
 */
export function patient(clip: Embedder, patienceMs = PATIENCE_MS): Embedder {
  const insisting = async <T>(call: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> => {
    const end = performance.now() + patienceMs;
    for (;;) {
      try {
        return await call();
      } catch (error) {
        const left = end - performance.now();
        if (!(error instanceof BusyError) || error instanceof TowersReplaced || left <= 0) throw error;
        await pause(Math.min(1000 * error.retryAfter, left), signal);
      }
    }
  };
  return {
    ...clip,
    embedPictures: (pictures, signal) => insisting(() => clip.embedPictures(pictures, signal), signal),
    embedTexts: (ids, signal) => insisting(() => clip.embedTexts(ids, signal), signal),
    release: () => clip.release(),
  };
}
