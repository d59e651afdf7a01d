/**
 * Text brought to one form, and where words begin and end in it. By Unicode's properties, not by language.
 */

/** What a character is to the words around it. */
export const OTHER = 0;
/** Of a script that parts its words: letters, marks and digits. */
export const WORD = 1;
/** Of a script that does not: an entry may begin and end inside a run of them. */
export const UNSPACED = 2;
/** Hangul: words are parted, but particles are written onto their ends. */
export const HANGUL = 3;

const LETTER = /[\p{L}\p{M}\p{N}]/u;
const NO_SPACES =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const KOREAN = /\p{Script=Hangul}/u;
/** Characters that nobody sees: joiners, soft hyphens, direction marks, byte-order marks, variation selectors. */
const UNSEEN = /\u034F|[\u00AD\u061C\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2064\uFEFF]|[\uFE00-\uFE0F]/g;
const ASCII = /^[\0-\x7f]*$/;
/** What parts the words of an entry: white space, hyphens and dashes, underscores. */
const GAP = /[\s\p{Pd}_]+/gu;

function classify(character: string): number {
  if (!LETTER.test(character)) return OTHER;
  if (NO_SPACES.test(character)) return UNSPACED;
  return KOREAN.test(character) ? HANGUL : WORD;
}

/** Of the basic plane, filled when first asked; 255 is not known yet. */
const CLASSES = new Uint8Array(0x10000).fill(255);
for (let code = 0; code < 128; code++) CLASSES[code] = classify(String.fromCharCode(code));

/** The class of the character that the code unit at an index belongs to; `OTHER` outside the text. */
export function classAt(text: string, index: number): number {
  if (index < 0 || index >= text.length) return OTHER;
  const code = text.charCodeAt(index);
  const known = CLASSES[code];
  if (known !== 255) return known;
  if ((code & 0xf800) === 0xd800) {
    const start = (code & 0xfc00) === 0xdc00 && index > 0 ? index - 1 : index;
    return classify(String.fromCodePoint(text.codePointAt(start) ?? code));
  }
  CLASSES[code] = classify(String.fromCharCode(code));
  return CLASSES[code];
}

/**
 * Lower case, compatibility forms made plain (`ｆ`, `𝐟` and `ﬁ` as letters), unseen characters taken out, gaps between
 * words as one space.
 */
export function normalise(text: string): string {
  const plain = ASCII.test(text) ? text.toLowerCase() : widen(text);
  return plain.replace(GAP, ' ');
}

function widen(text: string): string {
  return text.normalize('NFKC').replace(UNSEEN, '').toLowerCase().normalize('NFKC');
}
