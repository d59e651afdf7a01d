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

/** Runs one input, then as many at once as the time allows. `now` is in milliseconds. Throws what the embedder throws. */
export async function measureTowers(clip: Embedder, now: () => number): Promise<TowerRates> {
  const picture = new Uint8Array(3 * clip.imageSize * clip.imageSize).fill(127);
  const caption = new Int32Array(Math.min(TOKENS, clip.contextLength)).fill(1);
  return {
    pictures_per_second: await rateOf(
      (n) => clip.embedPictures(new Array<Uint8Array>(n).fill(picture)),
      IMAGE_BATCH,
      now,
    ),
    captions_per_second: await rateOf(
      (n) => clip.embedTexts(new Array<Int32Array>(n).fill(caption)),
      TEXT_BATCH,
      now,
    ),
  };
}

async function rateOf(
  run: (n: number) => Promise<unknown>,
  most: number,
  now: () => number,
): Promise<number> {
  const timed = async (n: number): Promise<number> => {
    const started = now();
    await run(n);
    // Clocks may count whole milliseconds.
    return Math.max(now() - started, 1);
  };
  const one = await timed(1);
  const n = Math.max(1, Math.min(most, Math.floor(BUDGET_MS / one)));
  const rate = n === 1 ? 1000 / one : (1000 * n) / (await timed(n));
  return Number(rate.toPrecision(3));
}
