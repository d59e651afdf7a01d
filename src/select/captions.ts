/** How long a caption is, as the reference's Python counts it. */

/** Unicode code points: Python's `len`. */
export function codePoints(text: string): number {
  let count = text.length;
  for (let i = 0; i + 1 < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) count--;
  }
  return count;
}

/** Words: Python's `len(text.split())`. */
export function wordCount(text: string): number {
  return countRuns(text, isPythonSpace);
}

/** Tokens: `len(fasttext.tokenize(text))`, which splits at ASCII blanks and NUL. */
export function fasttextTokens(text: string): number {
  return countRuns(text, (code) => code === 0x20 || (code >= 0x09 && code <= 0x0d) || code === 0);
}

function countRuns(text: string, isSpace: (code: number) => boolean): number {
  let count = 0;
  let inWord = false;
  for (let i = 0; i < text.length; i++) {
    const space = isSpace(text.charCodeAt(i));
    if (!space && !inWord) count++;
    inWord = !space;
  }
  return count;
}

/** Python's `str.isspace`. */
function isPythonSpace(code: number): boolean {
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x1f);
  return (
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  );
}
