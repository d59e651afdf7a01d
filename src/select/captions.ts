/**
 * What DataComp's caption filters measure, with Python's and fastText's own idea of a word. Each is one pass over
 * the caption's UTF-16 units and makes no string.
 */

/**
 * True for a UTF-16 unit at which Python's `str.split()` splits: what `str.isspace()` holds for. It differs from
 * JavaScript's `\s`: U+001C–1F and U+0085 are spaces here, and U+FEFF is not.
 */
export function isPythonSpace(unit: number): boolean {
  if (unit < 0x80) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d) || (unit >= 0x1c && unit <= 0x1f);
  if (unit < 0x1680) return unit === 0x85 || unit === 0xa0;
  if (unit < 0x2000) return unit === 0x1680;
  if (unit > 0x3000) return false;
  return (
    unit <= 0x200a ||
    unit === 0x2028 ||
    unit === 0x2029 ||
    unit === 0x202f ||
    unit === 0x205f ||
    unit === 0x3000
  );
}

/**
 * Words of a caption: Python's `len(text.split())`, as `basic_filter` counts them. Counting stops at `enough`: who
 * asks for three words need not read on.
 */
export function wordCount(text: string, enough = Number.POSITIVE_INFINITY): number {
  let words = 0;
  let inside = false;
  for (let i = 0; i < text.length && words < enough; i++) {
    const space = isPythonSpace(text.charCodeAt(i));
    if (!space && !inside) words++;
    inside = !space;
  }
  return words;
}

/**
 * Code points of a caption: Python's `len(text)`. A lone surrogate, which no parquet can hold, counts as one. Where
 * there are `enough` for sure (a code point has at most two units), `enough` is the answer.
 */
export function codePoints(text: string, enough = Number.POSITIVE_INFINITY): number {
  if (text.length >= 2 * enough) return enough;
  let points = text.length;
  for (let i = 1; i < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) continue;
    if ((text.charCodeAt(i - 1) & 0xfc00) === 0xd800) points--;
  }
  return points;
}

/**
 * Tokens of a caption: `len(fasttext.tokenize(text))`, as `image_based` counts them (`Dictionary::readWord` of
 * fastText 0.9.2). Only space, NUL and U+0009–0D divide; a line feed divides and is a token itself, `</s>`.
 */
export function fasttextTokens(text: string): number {
  let tokens = 0;
  let inside = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const space = unit <= 0x20 && (unit === 0x20 || unit === 0 || (unit >= 0x09 && unit <= 0x0d));
    if (unit === 0x0a || (!space && !inside)) tokens++;
    inside = !space;
  }
  return tokens;
}
