/** A detector in several threads, seen from the main one. */
import { Worker } from 'node:worker_threads';
import { CancelledError, ModelError, messageOf } from '../../src/errors.ts';
import type { Detection } from '../../src/language/types.ts';
import type { EngineSpec } from './engines.ts';
import type { Request, Response } from './worker.ts';

// The compiled package holds .js, the repository .ts.
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);

/** Texts a message: long enough that sending costs nothing, short enough that threads end together. */
const BATCH = 1024;

export interface DetectorThreads {
  detect(texts: readonly (string | null)[]): Promise<(Detection | null)[]>;
  close(): Promise<void>;
}

/** Starts the threads, and waits until all have loaded the detector. Throws `ModelError`. */
export async function openThreads(spec: EngineSpec, count: number): Promise<DetectorThreads> {
  const threads = Array.from({ length: count }, () => new Thread(spec));
  const close = async (): Promise<void> => {
    await Promise.all(threads.map((thread) => thread.close()));
  };
  try {
    await Promise.all(threads.map((thread) => thread.ready));
  } catch (error) {
    await close();
    throw error;
  }
  /** Calls to `detect` take turns, so that what waits in threads is bounded. */
  let turn: Promise<unknown> = Promise.resolve();
  const detectAll = async (texts: readonly (string | null)[]): Promise<(Detection | null)[]> => {
    const answers: (Detection | null)[] = new Array(texts.length);
    let next = 0;
    await Promise.all(
      // Two batches a thread: while one is answered, the next is there already.
      [...threads, ...threads].map(async (thread) => {
        while (next < texts.length) {
          const start = next;
          next += BATCH;
          const { languages = [], probabilities } = await thread.ask(texts.slice(start, start + BATCH));
          languages.forEach((language, i) => {
            answers[start + i] = language === null ? null : { language, probability: probabilities![i] };
          });
        }
      }),
    );
    return answers;
  };
  return {
    detect(texts) {
      const answers = turn.then(() => detectAll(texts));
      turn = answers.catch(() => {});
      return answers;
    },
    close,
  };
}

class Thread {
  readonly ready: Promise<Response>;
  readonly #worker: Worker;
  /** A thread answers in the order in which it was asked. */
  readonly #pending: { resolve(response: Response): void; reject(error: Error): void }[] = [];
  #closed: Error | undefined;

  constructor(spec: EngineSpec) {
    this.#worker = new Worker(WORKER, { workerData: spec, execArgv: [] });
    this.#worker.on('message', (response: Response) => this.#settle(response));
    this.#worker.on('error', (cause) => {
      this.#fail(new ModelError(`a detector's thread failed: ${messageOf(cause)}`, { cause }));
    });
    this.#worker.on('exit', (code) => {
      this.#fail(new ModelError(`a detector's thread ended (code ${code})`));
    });
    this.ready = this.#wait();
    this.ready.catch(() => {});
  }

  ask(texts: Request): Promise<Response> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const response = this.#wait();
    this.#worker.postMessage(texts);
    return response;
  }

  async close(): Promise<void> {
    this.#fail(new CancelledError('the language detector was closed'));
    await this.#worker.terminate();
  }

  #wait(): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.#pending.push({ resolve, reject });
    // The thread keeps the process alive only while somebody waits for it.
    this.#worker.ref();
    return promise;
  }

  #settle(response: Response): void {
    const pending = this.#pending.shift();
    if (this.#pending.length === 0) this.#worker.unref();
    if (response.error === undefined) pending?.resolve(response);
    else pending?.reject(new ModelError(response.error));
  }

  #fail(error: Error): void {
    this.#closed ??= error;
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }
}
