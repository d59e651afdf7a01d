/**
 * Runs up to `width` generators at once and gives what they give in the order of the generators. Those that are not
 * first yet run ahead by at most `ahead` items each. `start(i)` is called once generator `i - width` has ended.
 */
export async function* inOrder<T>(
  count: number,
  start: (index: number) => AsyncIterable<T>,
  { width, ahead }: { width: number; ahead: number },
): AsyncGenerator<T> {
  const running: Lane<T>[] = [];
  let next = 0;
  try {
    while (next < count || running.length > 0) {
      while (running.length < width && next < count) running.push(new Lane(start(next++), ahead));
      const lane = running[0];
      for (let item = await lane.take(); item !== undefined; item = await lane.take()) yield item.value;
      running.shift();
    }
  } finally {
    await Promise.all(running.map((lane) => lane.stop()));
  }
}

class Lane<T> {
  readonly #items: { value: T }[] = [];
  readonly #ahead: number;
  readonly #done: Promise<void>;
  #ended = false;
  #stopped = false;
  #error: { cause: unknown } | undefined;
  #wake = () => {};

  constructor(source: AsyncIterable<T>, ahead: number) {
    this.#ahead = ahead;
    this.#done = this.#run(source);
  }

  async #run(source: AsyncIterable<T>): Promise<void> {
    try {
      for await (const value of source) {
        this.#items.push({ value });
        this.#wake();
        while (this.#items.length >= this.#ahead && !this.#stopped) await this.#change();
        if (this.#stopped) break;
      }
    } catch (cause) {
      this.#error = { cause };
    }
    this.#ended = true;
    this.#wake();
  }

  async take(): Promise<{ value: T } | undefined> {
    while (this.#items.length === 0 && !this.#ended) await this.#change();
    const item = this.#items.shift();
    this.#wake();
    if (item === undefined && this.#error) throw this.#error.cause;
    return item;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#done;
  }

  /** Resolves when items were added or taken, or the end came. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#wake;
      this.#wake = () => {
        this.#wake = () => {};
        before();
        resolve();
      };
    });
  }
}
