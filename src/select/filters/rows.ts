import { codePoints, fasttextTokens, wordCount } from '../captions.ts';
import type { Params } from '../spec.ts';
import { type Answer, DROP, KEEP, type RowFilter, UNJUDGED } from '../types.ts';

/** A filter on the caption; rows without one are not judged. */
export function captionFilter(keeps: (caption: string) => boolean): RowFilter {
  return {
    kind: 'rows',
    requests: [{ name: 'text', as: 'text' }],
    judge(batch, verdicts) {
      const captions = batch.texts('text');
      for (let row = 0; row < batch.rows; row++) {
        const caption = captions[row];
        verdicts[row] = caption === null ? UNJUDGED : keeps(caption) ? KEEP : DROP;
      }
    },
  };
}

/** Lengths of the caption: Python's words, code points, fastText's tokens. */
export function lengthFilter(params: Params<'caption'>): RowFilter {
  return captionFilter(lengthRule(params));
}

/** Whether a caption is within the lengths. */
export function lengthRule(params: Params<'caption'>): (caption: string) => boolean {
  const { min_words, max_words, min_characters, max_characters, min_fasttext_tokens } = params;
  const within = (
    count: (text: string, enough?: number) => number,
    least = 0,
    most = Number.POSITIVE_INFINITY,
  ) => {
    if (least === 0 && most === Number.POSITIVE_INFINITY) return () => true;
    const enough = most === Number.POSITIVE_INFINITY ? least : most + 1;
    return (text: string) => {
      const n = count(text, enough);
      return n >= least && n <= most;
    };
  };
  const characters = within(codePoints, min_characters, max_characters);
  const words = within(wordCount, min_words, max_words);
  const tokens = within(fasttextTokens, min_fasttext_tokens);
  return (caption) => characters(caption) && words(caption) && tokens(caption);
}

/** What a size filter says of a picture's sides. A side of 0 has no aspect ratio, which is never within a bound. */
export function sizeRule({
  min_side,
  max_aspect,
}: Params<'size'>): (width: number, height: number) => Answer {
  return (width, height) => {
    const short = Math.min(width, height);
    if (Number.isNaN(short)) return UNJUDGED;
    const isLarge = min_side === undefined || short >= min_side;
    const isCompact = max_aspect === undefined || Math.max(width, height) / short <= max_aspect;
    return isLarge && isCompact ? KEEP : DROP;
  };
}

/** Sides of the original picture. */
export function sizeFilter(params: Params<'size'>): RowFilter {
  const [width, height] = ['original_width', 'original_height'];
  const rule = sizeRule(params);
  return {
    kind: 'rows',
    requests: [
      { name: width, as: 'number' },
      { name: height, as: 'number' },
    ],
    judge(batch, verdicts) {
      const widths = batch.numbers(width);
      const heights = batch.numbers(height);
      for (let row = 0; row < batch.rows; row++) verdicts[row] = rule(widths[row], heights[row]);
    },
  };
}
