/**
 * What `ftfy.fix_text` does to a caption with its default settings, character for character (ftfy 6.3.1, Robyn
 * Speer, Apache License 2.0, whose `__init__.py` and `fixes.py` are the source of the rules). open_clip calls it
 * before anything else, so a score depends on it wherever a caption holds mojibake, entities, curly quotes,
 * ligatures or full-width letters. Lone surrogates become U+FFFD; the result is well-formed.
 */
import { unescapeClosed, unescapeClosedRounds } from '../html.ts';
import { characterMasks, DECIMAL, normalizeNfc } from '../unicode.ts';
import { fixC1Controls, fixEncoding } from './encoding.ts';

/** Code points fixed as one text, where no line ends before (`max_decode_length`). */
const MAX_SEGMENT = 1_000_000;
/** Text that no step below changes, entities apart: printable ASCII, tabs, line feeds and form feeds. */
const PLAIN = /^[\t\n\f -~]*$/;

const LIGATURE = /[ĲĳŉǄ-ǌǱ-ǳﬀ-ﬆ]/g;
/** By compatibility decomposition, but for U+FB05, whose long s ftfy keeps. */
const LONG_ST = '\ufb05';
const WIDTH_VARIANT = /[\u3000\uff01-\uffef]/g;
const SINGLE_QUOTE = /[\u02bc\u2018-\u201b]/g;
const DOUBLE_QUOTE = /[\u201c-\u201f]/g;
const LINE_BREAK = /\r\n?|[\u2028\u2029\x85]/g;
const UNWANTED = /[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;
/** Cyrillic twice garbled, read together with any one character after it; see `fixSegment`. */
const WILDCARD_AT_AMPERSAND = 'ГўВЂВ&';

export function fixText(text: string): string {
  let out = '';
  // Once a line holds a `<`, that line and all after it are taken for markup, whose entities are left alone.
  let entities = true;
  for (let start = 0; start < text.length; ) {
    const lineFeed = text.indexOf('\n', start);
    const end = segmentEnd(text, start, lineFeed < 0 ? text.length : lineFeed + 1);
    const segment = text.slice(start, end);
    if (segment.includes('<')) entities = false;
    out += fixSegment(segment, entities);
    start = end;
  }
  return out;
}

function fixSegment(text: string, entities: boolean): string {
  // True when the steps after `unescape` left the text alone, and only `&` in place of a reference to it can have
  // come in since. No rule looks across an ampersand (but one, see WILDCARD_AT_AMPERSAND), so they need not be tried
  // again until a reference yields something else.
  let settled = false;
  for (;;) {
    if (PLAIN.test(text) && !(entities && text.includes('&'))) return text;
    const before = text;
    if (entities) text = settled ? unescapeClosedRounds(text) : unescapeClosed(text);
    const unescaped = text;
    text = fixCharacters(fixEncoding(text));
    if (text === before) return text;
    settled = text === unescaped && !text.includes(WILDCARD_AT_AMPERSAND);
  }
}

function fixCharacters(text: string): string {
  if (PLAIN.test(text)) return text;
  text = fixC1Controls(text)
    .replace(LIGATURE, (char) => (char === LONG_ST ? 'ſt' : char.normalize('NFKC')))
    .replace(WIDTH_VARIANT, (char) => char.normalize('NFKC'))
    .replace(DOUBLE_QUOTE, '"')
    .replace(SINGLE_QUOTE, "'")
    .replace(LINE_BREAK, '\n')
    .toWellFormed();
  return normalizeNfc(removeTerminalEscapes(text).replace(UNWANTED, ''));
}

/** ESC [, digits (of any script) and semicolons, and a letter. */
function removeTerminalEscapes(text: string): string {
  let out = '';
  let copied = 0;
  for (let start = text.indexOf('\x1b['); start >= 0; start = text.indexOf('\x1b[', start + 2)) {
    let end = start + 2;
    for (let point = text.codePointAt(end); point !== undefined; point = text.codePointAt(end)) {
      if (point !== 0x3b && (characterMasks()[point] & DECIMAL) === 0) break;
      end += point > 0xffff ? 2 : 1;
    }
    if (!/^[a-zA-Z]/.test(text.slice(end, end + 1))) continue;
    out += text.slice(copied, start);
    copied = end + 1;
  }
  return out + text.slice(copied);
}

function segmentEnd(text: string, start: number, lineEnd: number): number {
  if (lineEnd - start <= MAX_SEGMENT) return lineEnd;
  let end = start;
  for (let points = 0; points < MAX_SEGMENT && end < lineEnd; points++) {
    end += (text.codePointAt(end) as number) > 0xffff ? 2 : 1;
  }
  return end;
}
