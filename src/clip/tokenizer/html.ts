/**
 * Character references, after the two readers that open_clip runs over a caption: Python's `html.unescape` (rules
 * of the HTML standard) and, before it, ftfy's `unescape_html` (only what ends in a semicolon, and names written
 * in capitals).
 */
import { HTML5_NAMES, HTML5_WITHOUT_SEMICOLON } from './tables/html5.ts';
import { ENCODINGS } from './tables/mojibake.ts';

interface Names {
  readonly values: ReadonlyMap<string, string>;
  /** Names that need no semicolon. */
  readonly bare: ReadonlySet<string>;
}

/** `frac12` and the like: no name without a semicolon is longer. */
const LONGEST_BARE = 6;
const SHORTEST_BARE = 2;
const REFERENCE = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu;
const CLOSED_REFERENCE = /&#?[0-9A-Za-z]{1,24};/g;
const CLOSED_AFTER_AMPERSAND = /#?[0-9A-Za-z]{1,24};/y;

let loaded: Names | undefined;

/** Python's `html.unescape`. Numbers of more than 4,300 digits, which raise there, are U+FFFD like other large ones. */
export function unescapeHtml(text: string): string {
  return text.includes('&') ? text.replace(REFERENCE, (_, body: string) => reference(body)) : text;
}

/** One round of ftfy's `unescape_html`. */
export function unescapeClosed(text: string): string {
  return text.includes('&') ? text.replace(CLOSED_REFERENCE, closedReference) : text;
}

/**
 * Rounds of `unescapeClosed` for as long as they only turn a reference to `&` into `&`, and the first round that
 * does more: in time proportional to the text, where `&amp;amp;amp;…` would take one round over all of it for each
 * level.
 */
export function unescapeClosedRounds(text: string): string {
  const pieces = text.split('&');
  let active = pieces.map((_, i) => i).slice(1);
  const offsets = new Int32Array(pieces.length);
  const decoded: (string | undefined)[] = [];
  for (let more = false; active.length > 0 && !more; ) {
    const next: number[] = [];
    for (const i of active) {
      CLOSED_AFTER_AMPERSAND.lastIndex = offsets[i];
      const body = CLOSED_AFTER_AMPERSAND.exec(pieces[i])?.[0];
      if (body === undefined) continue;
      const value = closedReference(`&${body}`);
      if (value === `&${body}`) continue;
      offsets[i] += body.length;
      if (value === '&') next.push(i);
      else {
        decoded[i] = value;
        more = true;
      }
    }
    active = next;
  }
  return pieces.map((piece, i) => (i === 0 ? piece : (decoded[i] ?? '&') + piece.slice(offsets[i]))).join('');
}

function closedReference(entity: string): string {
  if (entity.startsWith('&#')) {
    const value = unescapeHtml(entity);
    // A semicolon that is left (or is the value) means that it was not read whole.
    return value.includes(';') ? entity : value;
  }
  const { values } = names();
  const name = entity.slice(1, -1);
  const known = values.get(name);
  if (known !== undefined) return known;
  const small = values.get(name.toLowerCase());
  if (small === undefined || name !== name.toUpperCase() || unescapeHtml(entity) !== entity) return entity;
  return small.toUpperCase();
}

function reference(body: string): string {
  if (body.startsWith('#')) return numeric(body);
  const { values, bare } = names();
  const closed = body.endsWith(';');
  const name = closed ? body.slice(0, -1) : body;
  const known = closed || bare.has(name) ? values.get(name) : undefined;
  if (known !== undefined) return known;
  for (let length = Math.min(body.length - 1, LONGEST_BARE); length >= SHORTEST_BARE; length--) {
    const prefix = body.slice(0, length);
    if (bare.has(prefix)) return values.get(prefix) + body.slice(length);
  }
  return `&${body}`;
}

function numeric(body: string): string {
  const hex = body[1] === 'x' || body[1] === 'X';
  const point = hex ? Number.parseInt(body.slice(2), 16) : Number.parseInt(body.slice(1), 10);
  if (point === 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return '\ufffd';
  if (point >= 0x80 && point <= 0x9f) return ENCODINGS['sloppy-windows-1252'][point - 0x80];
  const control = point < 0x20 && point !== 9 && point !== 10 && point !== 12 && point !== 13;
  const noncharacter = (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) === 0xfffe;
  return control || noncharacter || point === 0x7f ? '' : String.fromCodePoint(point);
}

function names(): Names {
  loaded ??= {
    values: new Map(
      HTML5_NAMES.split(' ').map((entry) => {
        const [name, ...points] = entry.split(',');
        return [name, String.fromCodePoint(...points.map((point) => Number.parseInt(point, 36)))];
      }),
    ),
    bare: new Set(HTML5_WITHOUT_SEMICOLON.split(' ')),
  };
  return loaded;
}
