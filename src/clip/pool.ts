/** Several copies of one model as one. */
import { ModelError } from '../errors.ts';
import type { Embedder } from './embedder.ts';
import { firstMaximum, IMAGE_BATCH, textRuns } from './model.ts';

/**
 * Copies of one model that run side by side: a call is cut into what a tower runs at once, and each piece goes to a copy
 * that is free. On a processor this is quicker than one copy with more threads, which wait for each other after every
 * operator. Which copy ran a piece shows in no number.
 */
export function pooled(copies: readonly Embedder[]): Embedder {
  const [first] = copies;
  if (first === undefined) throw new ModelError('a pool of models needs at least one copy');
  if (copies.length === 1) return first;
  const { dim, contextLength, imageSize, logitScale, precision, provider, batch = IMAGE_BATCH } = first;
  const free = new Free(copies);
  const inPieces = async (
    pieces: readonly (readonly number[])[],
    rows: number,
    embed: (copy: Embedder, piece: readonly number[]) => Promise<Float32Array>,
  ): Promise<Float32Array> => {
    const out = new Float32Array(rows * dim);
    const settled = await Promise.allSettled(
      pieces.map(async (piece) => {
        const embedded = await free.use((copy) => embed(copy, piece));
        piece.forEach((index, i) => {
          out.set(embedded.subarray(i * dim, (i + 1) * dim), index * dim);
        });
      }),
    );
    for (const result of settled) if (result.status === 'rejected') throw result.reason;
    return out;
  };
  return {
    ...{ dim, contextLength, imageSize, logitScale, precision, provider, batch },
    lanes: copies.length,
    embedPictures: (pictures, signal) =>
      inPieces(runsOf(pictures.length, batch), pictures.length, (copy, piece) =>
        copy.embedPictures(
          piece.map((index) => pictures[index]),
          signal,
        ),
      ),
    embedTexts: (ids, signal) => {
      const runs = textRuns(ids.map(firstMaximum), contextLength);
      return inPieces(
        runs.map(({ members }) => members),
        ids.length,
        (copy, piece) =>
          copy.embedTexts(
            piece.map((index) => ids[index]),
            signal,
          ),
      );
    },
    async release() {
      await Promise.all(copies.map((copy) => copy.release()));
    },
  };
}

function runsOf(n: number, batch: number): number[][] {
  const runs: number[][] = [];
  for (let start = 0; start < n; start += batch) {
    runs.push(Array.from({ length: Math.min(batch, n - start) }, (_, i) => start + i));
  }
  return runs;
}

/** Things that one at a time may use, first come, first served. */
class Free<T> {
  readonly #idle: T[];
  readonly #waiting: ((thing: T) => void)[] = [];

  constructor(things: readonly T[]) {
    this.#idle = [...things];
  }

  async use<R>(work: (thing: T) => Promise<R>): Promise<R> {
    const thing = this.#idle.pop() ?? (await new Promise<T>((go) => this.#waiting.push(go)));
    try {
      return await work(thing);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(thing);
      else next(thing);
    }
  }
}
