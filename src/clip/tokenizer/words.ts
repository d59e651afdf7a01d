/**
 * open_clip's pattern cut by hand: `<start_of_text>`, `<end_of_text>`, the contractions, runs of letters, single
 * numbers, runs of the rest; what no part matches (spaces) separates. The classes are those of Python's `regex`
 * module with IGNORECASE, over text that is in lower case already.
 */
import { characterMasks, LETTER, NUMBER, SKIPPED } from './unicode.ts';

export const START_OF_TEXT = '<start_of_text>';
export const END_OF_TEXT = '<end_of_text>';
/** The only other case of a letter in these that `str.lower()` leaves: long s. */
const LONG_S_START_OF_TEXT = '<ſtart_of_text>';
const SPECIAL = [START_OF_TEXT, END_OF_TEXT, LONG_S_START_OF_TEXT];

type Kind = 0 | 1 | 2 | 3;
const SPACE: Kind = 0;
const LETTERS: Kind = 1;
const DIGIT: Kind = 2;
const REST: Kind = 3;

const ASCII_KINDS: readonly Kind[] = Array.from({ length: 128 }, (_, code) => {
  const char = String.fromCharCode(code);
  if (/[\t-\r\x1c- ]/.test(char)) return SPACE;
  return /[a-zA-Z]/.test(char) ? LETTERS : /[0-9]/.test(char) ? DIGIT : REST;
});

/** Index of the first word at or after `index`; the length of the text where there is none. */
export function wordStart(text: string, index: number): number {
  while (index < text.length && kindAt(text, index) === SPACE) index++;
  return index;
}

/** Index after the word that starts at `start`. */
export function wordEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === 0x3c) {
    const special = SPECIAL.find((word) => text.startsWith(word, start));
    if (special !== undefined) return start + special.length;
  } else if (first === 0x27) {
    const length = contractionAt(text, start);
    if (length > 0) return start + length;
  }
  const kind = kindAt(text, start);
  let end = start + widthAt(text, start);
  if (kind === DIGIT) return end;
  while (end < text.length && kindAt(text, end) === kind) end += widthAt(text, end);
  return end;
}

/** Length of 's, 't, 're, 've, 'm, 'll or 'd at `index`, where there is an apostrophe. */
function contractionAt(text: string, index: number): number {
  const next = text[index + 1];
  if (next === 's' || next === 'ſ' || next === 't' || next === 'm' || next === 'd') return 2;
  const after = text[index + 2];
  if ((next === 'r' || next === 'v') && after === 'e') return 3;
  return next === 'l' && after === 'l' ? 3 : 0;
}

function kindAt(text: string, index: number): Kind {
  const unit = text.charCodeAt(index);
  if (unit < 128) return ASCII_KINDS[unit];
  const mask = characterMasks()[text.codePointAt(index) as number];
  if ((mask & SKIPPED) !== 0) return SPACE;
  if ((mask & LETTER) !== 0) return LETTERS;
  return (mask & NUMBER) !== 0 ? DIGIT : REST;
}

function widthAt(text: string, index: number): 1 | 2 {
  return (text.codePointAt(index) as number) > 0xffff ? 2 : 1;
}
