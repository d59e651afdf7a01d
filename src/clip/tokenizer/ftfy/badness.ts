/**
 * ftfy's judgement whether a text looks like mojibake: any of some forty short sequences that hardly occur in
 * text decoded rightly. Rules and classes after `ftfy/badness.py` 6.3.1 (Robyn Speer, Apache License 2.0).
 */
import { CATEGORIES } from '../tables/mojibake.ts';
import { ASSIGNED, characterMasks, LETTER, NUMBER, PYTHON_SPACES } from '../unicode.ts';

const {
  common,
  c1,
  bad,
  law,
  currency,
  start_punctuation: opening,
  end_punctuation: closing,
  numeric,
  kaomoji,
  upper_accented: upper,
  lower_accented: lower,
  upper_common: upperCommon,
  lower_common: lowerCommon,
  box,
} = CATEGORIES;
const accented = lower + upper;
const arabicLead = 'ØÙ';
const arabicTail = `${common}${currency}${bad}${numeric}${opening}ŸŠ®°µ»`;

/** Each rule: the set of each character in turn, in a regex's notation. */
const SEQUENCES: readonly (readonly string[])[] = [
  [c1],
  [bad + accented + box + opening + closing + currency + numeric + law, bad],
  ['a-zA-Z', lowerCommon + upperCommon, bad],
  [bad, accented + box + opening + closing + currency + numeric + law],
  [lower + lowerCommon + box + closing + currency + numeric, upper],
  [box + closing + currency + numeric, lower],
  [lower + box + closing, currency],
  [PYTHON_SPACES, upper, currency],
  [upper + box, numeric + law],
  [accented + box + currency + closing, opening, numeric],
  [accented + currency + numeric + box + law, closing, opening],
  [currency + numeric + box, opening],
  ['a-z', upper, opening + currency],
  [box, kaomoji],
  [accented + currency + numeric + opening + closing + law, box],
  [box, closing],
  ['Œœ', '^A-Za-z'],
  [upper, '°'],
  // Windows-1252: pairs that the classes above leave out, and Arabic (four characters, since the sets are wide).
  ['ÂÃÎÐ', `€œŠš¢£Ÿž\xa0\xad®©°·»${opening}${closing}–—´`],
  ['×', '²³'],
  [arabicLead, arabicTail, arabicLead, arabicTail],
  ['à', '²µ¹¼½¾'],
  // MacRoman.
  ['√', '±∂†≠®™´≤≥¥µø'],
  ['≈', '°¢'],
  ['‚', 'Ä', 'ìîïòôúùû†°¢π'],
  ['‚', 'âó', 'àä°ê'],
  // Windows-1251: U+2000 and after; Latin-1 or Cyrillic; twice over.
  ['в', 'Ђ'],
  ['ВГРС', `${c1}${bad}${opening}${closing}${currency}°µ`, 'ВГРС'],
  ['Г', 'ў', 'В', 'Ђ', 'В', '^\n', 'A-Za-z '],
  // Windows-1252: à, á and the no-break space, also after a small letter and across one space.
  ['Ã', '\xa0¡'],
  ['a-z', 'ÃÂ', ' '],
  ['a-z', PYTHON_SPACES, 'ÃÂ', ' '],
  [`a-z.,?!${closing}`, 'Â', ` ${opening}${closing}`],
  // Windows-1253: U+2000 and after; Latin-1 or Greek. Windows-1257: U+2000 and after.
  ['β', '€', '™\xa0Ά\xad®°'],
  ['ΒΓΞΟ', `${c1}${bad}${opening}${closing}${currency}°`, 'ΒΓΞΟ'],
  ['ā', '€'],
];

const sequence = (sets: readonly string[]): string => sets.map((set) => `[${set}]`).join('');
const BAD = new RegExp([...SEQUENCES.map(sequence), '^[ÃÂ] '].join('|'), 'u');
/** Bad where a word character follows. */
const BAD_BEFORE_WORD = new RegExp(sequence([accented, opening + closing]), 'gu');

/** ftfy's `is_bad`. */
export function looksLikeMojibake(text: string): boolean {
  if (BAD.test(text)) return true;
  BAD_BEFORE_WORD.lastIndex = 0;
  while (BAD_BEFORE_WORD.test(text)) {
    const after = text.codePointAt(BAD_BEFORE_WORD.lastIndex);
    if (after !== undefined && isWordCharacter(after)) return true;
  }
  return false;
}

/** `\w` of Python's `re`: letters and numbers of its own Unicode version, and `_`. */
function isWordCharacter(point: number): boolean {
  if (point === 0x5f) return true;
  const mask = characterMasks()[point];
  return (mask & (LETTER | NUMBER)) !== 0 && (mask & ASSIGNED) !== 0;
}
