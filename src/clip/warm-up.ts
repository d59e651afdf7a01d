/** How fast towers run, before a run depends on it. */
import type { Embedder } from './embedder.ts';
import { IMAGE_BATCH, TEXT_BATCH } from './model.ts';

/** What a second run of made-up input took. */
export interface TowerRates {
  pictures_per_second: number;
  captions_per_second: number;
}

/** A measured run takes about this long, or one input where that takes longer. */
const BUDGET_MS = 100;
/** Tokens of a caption: about as many as captions of the web have. */
const TOKENS = 16;

/**
 * Runs one input, then as many at once as the time allows, in as many calls side by side as the embedder has lanes. `now`
 * is in milliseconds. Throws what the embedder throws.
 */
export async function measureTowers(clip: Embedder, now: () => number): Promise<TowerRates> {
  const picture = new Uint8Array(3 * clip.imageSize * clip.imageSize).fill(127);
  const caption = new Int32Array(Math.min(TOKENS, clip.contextLength)).fill(1);
  const lanes = clip.lanes ?? 1;
  return {
    pictures_per_second: await rateOf((n) => clip.embedPictures(new Array<Uint8Array>(n).fill(picture)), {
      most: IMAGE_BATCH,
      lanes,
      now,
    }),
    captions_per_second: await rateOf((n) => clip.embedTexts(new Array<Int32Array>(n).fill(caption)), {
      most: TEXT_BATCH,
      lanes,
      now,
    }),
  };
}

async function rateOf(
  run: (n: number) => Promise<unknown>,
  { most, lanes, now }: { most: number; lanes: number; now: () => number },
): Promise<number> {
  const timed = async (n: number): Promise<number> => {
    const started = now();
    await Promise.all(Array.from({ length: lanes }, () => run(n)));
    // Clocks may count whole milliseconds.
    return Math.max(now() - started, 1);
  };
  const one = await timed(1);
  const n = Math.max(1, Math.min(most, Math.floor(BUDGET_MS / one)));
  const rate = (1000 * n * lanes) / (n === 1 ? one : await timed(n));
  return Number(rate.toPrecision(3));
}
