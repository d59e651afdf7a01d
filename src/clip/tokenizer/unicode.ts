/**
 * Characters as open_clip's Python sees them: classes, lower-casing and normalisation of Python 3.11 (Unicode
 * 14.0) and of the `regex` module, from tables, so that ids do not change with the engine's own Unicode version.
 */
import { COMBINING_RUNS, LOWER_RUNS, PROPERTY_RUNS } from './tables/unicode.ts';

/** `\p{L}` of `regex`. */
export const LETTER = 1;
/** `\p{N}` of `regex`. */
export const NUMBER = 2;
/** Not `Cn` in Python's Unicode. */
export const ASSIGNED = 4;
/** Cased and not case-ignorable: what makes a sigma after it final. */
export const CASED = 8;
/** Case-ignorable: looked through when a sigma's neighbours are sought. */
export const IGNORABLE = 16;
/** `\d` of `re`. */
export const DECIMAL = 32;
/** `str.lower()` changes it. */
export const LOWERS = 64;
/** Belongs to no word; see `skipped` below. */
export const SKIPPED = 128;

const CODE_POINTS = 0x110000;
const CAPITAL_SIGMA = 0x3a3;
const FINAL_SIGMA = 'ς';
const CAPITAL_I_WITH_DOT = 0x130;
/** What Python's `str.isspace()` and `\s` of `re` say; `regex` leaves U+001C to U+001F out of its `\s`. */
export const PYTHON_SPACES = '\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000';

interface Tables {
  /** One mask of the bits above for each code point. */
  readonly masks: Uint8Array;
  readonly lower: ReadonlyMap<number, string>;
  /** Canonical combining classes other than 0. */
  readonly combining: ReadonlyMap<number, number>;
}

let loaded: Tables | undefined;

/** The mask of each code point, 1.1 MB; made at the first call, since plain ASCII never asks. */
export function characterMasks(): Uint8Array {
  return tables().masks;
}

/** Python's `str.lower()`. */
export function lowerCase(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text.toLowerCase();
  const { masks, lower } = tables();
  let out = '';
  let copied = 0;
  for (let i = 0; i < text.length; ) {
    const point = text.codePointAt(i) as number;
    const next = i + width(point);
    if ((masks[point] & LOWERS) !== 0) {
      const small = point === CAPITAL_SIGMA && isFinal(text, i, next, masks) ? FINAL_SIGMA : lower.get(point);
      out += text.slice(copied, i) + small;
      copied = next;
    }
    i = next;
  }
  return out + text.slice(copied);
}

/** Marks in a row past which they are sorted before the engine sees them. */
const LONG_RUN_OF_MARKS = /\p{M}{64,}/gu;

/**
 * NFC of Python's Unicode version. A code point unassigned there has no decomposition and combines with nothing,
 * whatever newer versions say of it, so the text is normalised between such; for assigned ones the result never
 * changes with the version (Unicode's stability policy).
 */
export function normalizeNfc(text: string): string {
  // Nothing below U+0300 decomposes from NFC or combines.
  if (/^[\0-\u02ff]*$/.test(text)) return text;
  const { masks } = tables();
  let out = '';
  let copied = 0;
  for (let i = 0; i < text.length; ) {
    const point = text.codePointAt(i) as number;
    const next = i + width(point);
    if ((masks[point] & ASSIGNED) === 0) {
      out += composed(text.slice(copied, i)) + text.slice(i, next);
      copied = next;
    }
    i = next;
  }
  return out + composed(text.slice(copied));
}

/**
 * NFC of the engine. Engines put marks into canonical order by insertion, in time that grows with the square of
 * their number; text whose marks are in that order already means the same and takes no longer than other text.
 */
function composed(text: string): string {
  return text.replace(LONG_RUN_OF_MARKS, inCanonicalOrder).normalize('NFC');
}

function inCanonicalOrder(marks: string): string {
  const { combining } = tables();
  const points = Array.from(marks, (mark) => mark.codePointAt(0) as number);
  const classOf = (point: number): number => combining.get(point) ?? 0;
  const ordered: number[] = [];
  for (let start = 0; start < points.length; ) {
    let end = start + 1;
    if (classOf(points[start]) !== 0) while (end < points.length && classOf(points[end]) !== 0) end++;
    for (const point of points.slice(start, end).sort((a, b) => classOf(a) - classOf(b))) ordered.push(point);
    start = end;
  }
  return ordered.map((point) => String.fromCodePoint(point)).join('');
}

/** Python's rule for a capital sigma: a cased character before it and none after, ignorable ones apart. */
function isFinal(text: string, start: number, end: number, masks: Uint8Array): boolean {
  let before = 0;
  for (let i = start; i > 0; ) {
    const point = pointBefore(text, i);
    before = masks[point];
    if ((before & IGNORABLE) === 0) break;
    i -= width(point);
  }
  if ((before & CASED) === 0) return false;
  for (let i = end; i < text.length; ) {
    const point = text.codePointAt(i) as number;
    if ((masks[point] & IGNORABLE) === 0) return (masks[point] & CASED) === 0;
    i += width(point);
  }
  return true;
}

function pointBefore(text: string, index: number): number {
  const pair = index > 1 ? (text.codePointAt(index - 2) as number) : 0;
  return pair > 0xffff ? pair : text.charCodeAt(index - 1);
}

function width(point: number): 1 | 2 {
  return point > 0xffff ? 2 : 1;
}

function tables(): Tables {
  loaded ??= load();
  return loaded;
}

function load(): Tables {
  const masks = new Uint8Array(CODE_POINTS);
  let at = 0;
  for (const [mask, length] of numbers(PROPERTY_RUNS)) {
    masks.fill(mask, at, at + length);
    at += length;
  }
  const lower = new Map<number, string>([[CAPITAL_I_WITH_DOT, 'i\u0307']]);
  for (const [first, count, step, distance] of numbers(LOWER_RUNS)) {
    for (let i = 0; i < count; i++)
      lower.set(first + i * step, String.fromCodePoint(first + i * step + distance));
  }
  for (const point of lower.keys()) masks[point] |= LOWERS;
  const space = new RegExp(`[${PYTHON_SPACES}]`);
  for (let point = 0; point <= 0x3000; point++) {
    if (space.test(String.fromCharCode(point))) masks[point] |= SKIPPED;
  }
  // With IGNORECASE, `regex` takes U+0345 for a case of iota where it is excluded and for itself where a letter is
  // wanted: no part of the pattern matches it, and it falls between words.
  masks[0x345] |= SKIPPED;
  const combining = new Map<number, number>();
  for (const [first, count, ccc] of numbers(COMBINING_RUNS)) {
    for (let i = 0; i < count; i++) combining.set(first + i, ccc);
  }
  return { masks, lower, combining };
}

function numbers(runs: string): number[][] {
  return runs.split(' ').map((run) => run.split(',').map((digits) => Number.parseInt(digits, 36)));
}
