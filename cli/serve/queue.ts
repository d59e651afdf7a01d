/**
 * Requests of many callers, run together: while a batch runs, those that come wait and make up the next one. So a lone
 * request waits for nobody for longer than `waitMs`, and a full house runs at the rate of full batches.
 */
import { BusyError, CancelledError } from '../../src/errors.ts';

export interface QueueOptions {
  /** Inputs a run at most. */
  batch: number;
  /** Runs at once, default 1: as many as there are copies of the model. What waits is shared out among those that are free. */
  lanes?: number;
  /** Milliseconds that an idle queue waits for company before it runs. */
  waitMs: number;
  /** Inputs that may wait; a call beyond is refused with `BusyError`. Large calls: see `run`. */
  backlog: number;
}

interface Call<In, Out> {
  inputs: readonly In[];
  answers: Out[];
  /** Inputs handed to runs so far, and answered. */
  taken: number;
  answered: number;
  signal?: AbortSignal;
  settled: boolean;
  resolve(answers: Out[]): void;
  reject(error: unknown): void;
}

/** One input of a call. */
interface Place<In, Out> {
  call: Call<In, Out>;
  at: number;
}

/**
 * Calls of any size, first come, first served; one call may be spread over several batches and a batch hold several
 * calls. `work` gives one answer an input, in order. A batch that fails fails the calls in it, and no others.
 */
export class BatchQueue<In, Out> {
  readonly #work: (inputs: In[]) => Promise<readonly Out[]>;
  readonly #options: QueueOptions;
  #calls: Call<In, Out>[] = [];
  #waiting = 0;
  #running = 0;
  #isGathering = false;
  #company: (() => void) | undefined;
  /** Milliseconds an input took, smoothed. */
  #pace = 0;

  constructor(work: (inputs: In[]) => Promise<readonly Out[]>, options: QueueOptions) {
    this.#work = work;
    this.#options = options;
  }

  /** Inputs that wait or run. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * The answers in the order of the inputs. Throws `BusyError` at once where the backlog is full, `CancelledError` when
   * the signal fires (what waits is dropped, what runs is not stopped), and what `work` throws. A call needs room for its
   * inputs, though for no more than half the backlog: a larger one would otherwise be refused whenever anybody waits.
   * So half a backlog and the largest call that callers make is what may wait at most.
   */
  async run(inputs: readonly In[], signal?: AbortSignal): Promise<Out[]> {
    if (inputs.length === 0) return [];
    if (signal?.aborted) throw new CancelledError();
    const { backlog } = this.#options;
    if (this.#waiting + Math.min(inputs.length, backlog / 2) > backlog) {
      const seconds = Math.max(1, Math.ceil((this.#waiting * this.#pace) / 1000));
      throw new BusyError(`${this.#waiting} inputs wait already`, seconds);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Out[]>();
    const call: Call<In, Out> = {
      ...{ inputs, answers: [], taken: 0, answered: 0, settled: false },
      ...{ signal, resolve, reject },
    };
    const drop = () => this.#fail(call, new CancelledError());
    signal?.addEventListener('abort', drop, { once: true });
    this.#calls.push(call);
    this.#waiting += inputs.length;
    if (this.#unclaimed() >= this.#options.batch) this.#company?.();
    this.#begin();
    return promise.finally(() => signal?.removeEventListener('abort', drop));
  }

  /** After a rest the first waits for company; beside what runs already nobody does. */
  #begin(): void {
    if (this.#isGathering) return;
    if (this.#running > 0) {
      this.#start();
      return;
    }
    this.#isGathering = true;
    this.#waitForCompany().then(() => {
      this.#isGathering = false;
      this.#start();
    });
  }

  #start(): void {
    const { batch, lanes = 1 } = this.#options;
    for (;;) {
      const free = lanes - this.#running;
      const unclaimed = this.#unclaimed();
      if (free <= 0 || unclaimed === 0) return;
      this.#running++;
      this.#runBatch(this.#next(Math.min(batch, Math.ceil(unclaimed / free)))).then(() => {
        this.#running--;
        this.#start();
      });
    }
  }

  async #runBatch(batch: readonly Place<In, Out>[]): Promise<void> {
    const started = performance.now();
    try {
      const answers = await this.#work(batch.map(({ call, at }) => call.inputs[at]));
      batch.forEach(({ call, at }, i) => {
        call.answers[at] = answers[i];
        call.answered++;
        if (call.answered === call.inputs.length) this.#finish(call);
      });
    } catch (error) {
      for (const { call } of batch) this.#fail(call, error);
    }
    const pace = (performance.now() - started) / batch.length;
    this.#pace = this.#pace === 0 ? pace : 0.8 * this.#pace + 0.2 * pace;
  }

  async #waitForCompany(): Promise<void> {
    if (this.#options.waitMs <= 0 || this.#unclaimed() >= this.#options.batch) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#company = resolve;
    const timer = setTimeout(resolve, this.#options.waitMs);
    await promise;
    clearTimeout(timer);
    this.#company = undefined;
  }

  #unclaimed(): number {
    return this.#calls.reduce((sum, { inputs, taken }) => sum + inputs.length - taken, 0);
  }

  /** Takes up to `most` inputs, in the order of the calls; calls whose inputs are all taken leave the queue. */
  #next(most: number): Place<In, Out>[] {
    const batch: Place<In, Out>[] = [];
    while (batch.length < most && this.#calls.length > 0) {
      const call = this.#calls[0];
      while (call.taken < call.inputs.length && batch.length < most) batch.push({ call, at: call.taken++ });
      if (call.taken === call.inputs.length) this.#calls.shift();
    }
    return batch;
  }

  #finish(call: Call<In, Out>): void {
    if (call.settled) return;
    this.#settle(call);
    call.resolve(call.answers);
  }

  #fail(call: Call<In, Out>, error: unknown): void {
    if (call.settled) return;
    this.#settle(call);
    call.reject(error);
  }

  #settle(call: Call<In, Out>): void {
    call.settled = true;
    this.#waiting -= call.inputs.length;
    this.#calls = this.#calls.filter((other) => other !== call);
  }
}
