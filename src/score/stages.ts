/** Where the time of a run goes: what a stage works on, from when to when. Watching changes no result. */

export const STAGES = [
  'read',
  'tokenise',
  'decode',
  'preprocess',
  'pictures',
  'captions',
  'judge',
  'write',
  'shard',
] as const;
export type Stage = (typeof STAGES)[number];

/** What a span is about: the shard, how many samples, whose towers. */
export type About = Readonly<Record<string, string | number>>;

export interface Watch {
  /** A stage begins a piece of work; the answer is called at its end, with `false` where nothing came of it. */
  begin(stage: Stage, about: About): (isPiece?: boolean) => void;
  /** So many more wait in a queue, or fewer. */
  queued(queue: string, more: number): void;
}

export const UNWATCHED: Watch = { begin: () => () => {}, queued: () => {} };

/** Watches one call. */
export async function watched<T>(
  watch: Watch,
  stage: Stage,
  about: About,
  work: () => Promise<T>,
): Promise<T> {
  const end = watch.begin(stage, about);
  try {
    return await work();
  } finally {
    end();
  }
}

/** Watches how long each item is waited for; that there is none any more is no item. */
export async function* watchedItems<T>(
  items: AsyncIterable<T>,
  watch: Watch,
  stage: Stage,
  about: About,
): AsyncGenerator<T, void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const end = watch.begin(stage, about);
      let isItem = false;
      try {
        const next = await iterator.next();
        isItem = !next.done;
        if (next.done) return;
        end();
        yield next.value;
      } finally {
        if (!isItem) end(false);
      }
    }
  } finally {
    await iterator.return?.();
  }
}
