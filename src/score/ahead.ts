/**
 * Bounded look-ahead. Reading, decoding and the towers overlap because each stage is started before the one
 * after it asks; nothing grows, because each stage has a bound.
 */

/**
 * Maps `items` with at most `ahead` calls of `work` under way or waiting to be taken, and yields the results in
 * the order of the items. Work goes on while the consumer is busy with a result. The first failure, of the source or
 * of a call, is thrown at its place in that order; whatever else was started is awaited, so that nothing goes on
 * behind the caller's back.
 */
export async function* mapAhead<In, Out>(
  items: AsyncIterable<In>,
  ahead: number,
  work: (item: In) => Promise<Out>,
): AsyncGenerator<Out, void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  const started: Promise<Out>[] = [];
  const changed = new Signal();
  let isOver = false;
  let isUnwanted = false;
  let sourceFailure: { error: unknown } | undefined;
  const start = async (): Promise<void> => {
    try {
      for (;;) {
        while (started.length >= ahead && !isUnwanted) await changed.wait();
        if (isUnwanted) return;
        const next = await iterator.next();
        if (next.done || isUnwanted) return;
        const promise = work(next.value);
        // A failure is reported where its turn comes; until then it is not unhandled.
        promise.catch(() => {});
        started.push(promise);
        changed.give();
      }
    } catch (error) {
      sourceFailure = { error };
    } finally {
      isOver = true;
      changed.give();
    }
  };
  const starting = start();
  try {
    for (;;) {
      while (started.length === 0 && !isOver) await changed.wait();
      if (started.length === 0) break;
      const result = await started[0];
      started.shift();
      changed.give();
      yield result;
    }
    if (sourceFailure !== undefined) throw sourceFailure.error;
  } finally {
    isUnwanted = true;
    changed.give();
    await starting;
    await Promise.allSettled(started);
    await iterator.return?.();
  }
}

/** Wakes all who wait. */
class Signal {
  #next = Promise.withResolvers<void>();

  wait(): Promise<void> {
    return this.#next.promise;
  }

  give(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }
}

/** A weighted semaphore: at most `capacity` units are out at once; one request larger than that runs alone. */
export class Budget {
  readonly capacity: number;
  #used = 0;
  readonly #waiting: { weight: number; go: () => void }[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Waits for `weight` units. Whoever takes them gives the same weight back. */
  async take(weight: number): Promise<void> {
    const taken = Math.min(weight, this.capacity);
    if (this.#waiting.length > 0 || this.#used + taken > this.capacity) {
      await new Promise<void>((go) => this.#waiting.push({ weight: taken, go }));
    } else {
      this.#used += taken;
    }
  }

  give(weight: number): void {
    this.#used -= Math.min(weight, this.capacity);
    // First come, first served: a large request is not starved by small ones behind it.
    while (this.#waiting.length > 0 && this.#used + this.#waiting[0].weight <= this.capacity) {
      const next = this.#waiting.shift()!;
      this.#used += next.weight;
      next.go();
    }
  }

  async use<T>(weight: number, work: () => Promise<T>): Promise<T> {
    await this.take(weight);
    try {
      return await work();
    } finally {
      this.give(weight);
    }
  }
}

/** Cuts a stream into runs of at most `size`, in order. */
export async function* inBatches<T>(
  items: AsyncIterable<T>,
  size: number,
): AsyncGenerator<T[], void, undefined> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}
