/** How many pictures a tower runs at once. */
import { messageOf } from '../errors.ts';
import type { Embedder } from './embedder.ts';

/** A number of pictures, or the one that is quickest on this machine. */
export type Batch = number | 'auto';

/** Sizes that `auto` tries, the smallest first, until one takes too long or gains nothing. */
const TRIED = [2, 4, 8, 16, 32, 64, 128];
export const LARGEST_TRIED = 128;
/** A larger size has to be quicker by this, since it holds more memory. */
const LEAST_GAIN = 1.03;
/** A size whose run takes longer is the last that is tried, milliseconds. */
const LONGEST_RUN = 2000;

export interface MeasuredBatch {
  batch: number;
  /** Pictures a second by size, as far as was tried. */
  rates: { size: number; perSecond: number }[];
}

/**
 * Runs made-up pictures in batches of growing size. Memory that runs out ends the trying. `now` is in milliseconds.
 * Throws what the embedder throws.
 */
export async function measureBatch(clip: Embedder, now: () => number): Promise<MeasuredBatch> {
  const picture = new Uint8Array(3 * clip.imageSize * clip.imageSize).fill(127);
  const lanes = clip.lanes ?? 1;
  const run = async (size: number): Promise<number> => {
    const started = now();
    const pictures = new Array<Uint8Array>(size).fill(picture);
    await Promise.all(Array.from({ length: lanes }, () => clip.embedPictures(pictures)));
    // Clocks may count whole milliseconds.
    return Math.max(now() - started, 1);
  };
  await run(1);
  const rates: MeasuredBatch['rates'] = [];
  let best = { size: 1, perSecond: 0 };
  for (const size of TRIED) {
    let took: number;
    try {
      took = await run(size);
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      break;
    }
    const rate = { size, perSecond: Number(((1000 * lanes * size) / took).toPrecision(3)) };
    rates.push(rate);
    const isBetter = rate.perSecond > best.perSecond * LEAST_GAIN;
    if (isBetter) best = rate;
    if (took > LONGEST_RUN || (!isBetter && rate.size > 4 * best.size)) break;
  }
  return { batch: best.size, rates };
}

/**
 * Runs at most `batch` pictures at once, and half of them where memory runs out, from then on: nothing is lost, and on a
 * CPU no number changes. `onLess` is told the new size. Where memory does not suffice for one, that is thrown.
 */
export function backingOff(clip: Embedder, batch: number, onLess: (size: number) => void): Embedder {
  let size = batch;
  const lanes = clip.lanes ?? 1;
  /** `most` at once, in as many calls side by side as there are lanes. `onFull` makes `most` less than what it is told. */
  const halving = async <T>(
    items: readonly T[],
    most: () => number,
    embed: (items: readonly T[]) => Promise<Float32Array>,
    onFull: (n: number) => void,
  ): Promise<Float32Array> => {
    const out = new Float32Array(items.length * clip.dim);
    const run = async (from: number, to: number): Promise<void> => {
      try {
        out.set(await embed(items.slice(from, to)), from * clip.dim);
      } catch (error) {
        if (!isOutOfMemory(error) || to - from <= 1) throw error;
        onFull(to - from);
        for (let at = from; at < to; ) {
          const end = Math.min(to, at + most());
          await run(at, end);
          at = end;
        }
      }
    };
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < items.length) {
        const from = next;
        next = Math.min(items.length, from + most());
        await run(from, next);
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: lanes }, lane));
    for (const result of ended) if (result.status === 'rejected') throw result.reason;
    return out;
  };
  const { dim, contextLength, imageSize, logitScale, precision, provider } = clip;
  return {
    ...{ dim, contextLength, imageSize, logitScale, precision, provider, lanes },
    get batch() {
      return size;
    },
    embedPictures: (pictures, signal) =>
      halving(
        pictures,
        () => size,
        (part) => clip.embedPictures(part, signal),
        (n) => {
          // Another call may have halved it already.
          if (n > size) return;
          size = Math.max(1, n >> 1);
          onLess(size);
        },
      ),
    embedTexts(ids, signal) {
      let most = Math.max(1, ids.length);
      const embed = (part: readonly Int32Array[]) => clip.embedTexts(part, signal);
      return halving(
        ids,
        () => most,
        embed,
        (n) => {
          most = n >> 1;
        },
      );
    },
    release: () => clip.release(),
  };
}

/**
 * What onnxruntime, its providers (`CUBLAS_STATUS_ALLOC_FAILED`, `CUDA_ERROR_OUT_OF_MEMORY`, DirectML's `E_OUTOFMEMORY`) and
 * JavaScript say where there is no memory left.
 */
const OUT_OF_MEMORY =
  /bad_alloc|\bout of memory\b|OUT_?OF_?MEMORY|_ALLOC_FAILED\b|failed to allocate|allocation fail|AllocateRaw|not enough memory|\bOOM\b/i;

function isOutOfMemory(error: unknown): boolean {
  return OUT_OF_MEMORY.test(messageOf(error));
}
