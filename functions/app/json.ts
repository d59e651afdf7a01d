/** JSON of strangers. */
import { Problem } from './problems.ts';

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
/** Commas and opening brackets. The largest request that fits the limits has some 20,000: tokens of its captions. */
const MOST_STRUCTURE = 100_000;
const STRUCTURE = new Set([',', '[', '{'].map((character) => character.charCodeAt(0)));

/**
 * Whether JSON has more values than any request needs. Parsing and checking millions of them takes seconds, in which
 * nobody else is answered; this looks at what stands between strings alone.
 */
function isTooFine(bytes: Uint8Array): boolean {
  let count = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (STRUCTURE.has(bytes[at])) {
      count++;
      if (count > MOST_STRUCTURE) return true;
    } else if (bytes[at] === QUOTE) {
      at = endOfString(bytes, at + 1);
      if (at < 0) return false;
    }
  }
  return false;
}

/** Where a string that begins at `at` has its closing quote; -1 where it has none. */
function endOfString(bytes: Uint8Array, at: number): number {
  let end = bytes.indexOf(QUOTE, at);
  for (; end >= 0; end = bytes.indexOf(QUOTE, end + 1)) {
    let escapes = 0;
    while (end - 1 - escapes >= at && bytes[end - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
  return -1;
}

/** Throws `Problem`: 400 for what is no JSON, 422 for what is too much of it. */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  if (isTooFine(bytes)) throw new Problem('invalid', `${what} has more values than any request takes`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Problem('bad_request', `${what} is no JSON in UTF-8`, { cause });
  }
}
