/** A thread that answers what it is asked, seen from the one that asks. */
import { Worker } from 'node:worker_threads';
import { ModelError, messageOf } from '../../src/errors.ts';
import { errorFrom, type PlainError } from './plain-error.ts';

export interface Asked<Question> {
  id: number;
  question: Question;
}

/** `id` 0 says that the thread is ready, or why it is not. */
export interface Answered<Answer> {
  id: number;
  answer?: Answer;
  error?: PlainError;
}

interface Pending<Answer> {
  settled: Promise<unknown>;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** `what` it is called in messages: “the model's thread”. `file` is a worker that calls `answerQuestions`. */
export class AskedThread<Question, Answer> {
  /** Rejects with the error that the worker could not start for. */
  readonly ready: Promise<unknown>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending<Answer>>();
  #next = 0;
  #closed: Error | undefined;

  constructor(what: string, file: URL, workerData: unknown) {
    this.#worker = new Worker(file, { workerData, execArgv: [] });
    this.#worker.on('message', (answered: Answered<Answer>) => this.#settle(answered));
    this.#worker.on('error', (cause) => {
      this.#fail(new ModelError(`${what} failed: ${messageOf(cause)}`, { cause }));
    });
    this.#worker.on('exit', (code) => this.#fail(new ModelError(`${what} ended (code ${code})`)));
    this.ready = this.#wait();
  }

  /** Rejects with the error that answering threw, or with why the thread is gone. */
  ask(question: Question, transfer: ArrayBuffer[] = []): Promise<Answer> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const asked: Asked<Question> = { id: this.#next, question };
    const answer = this.#wait();
    this.#worker.postMessage(asked, transfer);
    return answer;
  }

  /** Answers what was asked before, and nothing more: `because` is what is thrown from here on. */
  async close(because: Error): Promise<void> {
    this.#closed ??= because;
    await Promise.allSettled([...this.#pending.values()].map(({ settled }) => settled));
    await this.#worker.terminate();
  }

  #wait(): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    // Whoever asked hears of a failure; `close` only waits.
    const settled = promise.catch(() => {});
    this.#pending.set(this.#next++, { settled, resolve, reject });
    // The thread keeps the process alive only while somebody waits for it.
    this.#worker.ref();
    return promise;
  }

  #settle({ id, answer, error }: Answered<Answer>): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (error !== undefined) pending?.reject(errorFrom(error));
    else pending?.resolve(answer as Answer);
  }

  #fail(error: Error): void {
    this.#closed ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
