/**
 * Mojibake undone: text that was UTF-8 and was read in a single-byte encoding. The steps, their order and their
 * exceptions are those of ftfy 6.3.1's `fix_encoding` with its default settings (Robyn Speer, Apache License 2.0).
 */
import { ENCODINGS, UTF8_CLUES } from '../tables/mojibake.ts';
import { looksLikeMojibake } from './badness.ts';
import {
  type ByteString,
  decodeUtf8,
  decodeUtf8Variants,
  SINGLE_BYTE_ENCODINGS,
  type SingleByteEncoding,
} from './codecs.ts';

/** UTF-8 that would be whole had a byte A0 not been turned into a space, where what it then reads is likely. */
const SPACE_FOR_A0 =
  /[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0 [\x80-\xbf]{2}|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf]{2} /g;
/** "Ã " for à as a word: the space stays, but not in à + s, quele, quela, quilo, which are one word in Portuguese. */
const A_GRAVE_WORD = /\xc3 (?! |quele|quela|quilo|s )/g;
/** UTF-8 in which bytes were lost: 1A, which stands for U+FFFD, or one `?`. */
const LOST_BYTES = new RegExp(
  [
    '[\\xc2-\\xdf]\\x1a|[\\xc2\\xc3]\\?',
    '\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]',
    '\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]',
    '[\\xe0-\\xef][\\x1a?][\\x1a\\x80-\\xbf]|[\\xe0-\\xef][\\x1a\\x80-\\xbf][\\x1a?]',
    '[\\xf0-\\xf4][\\x1a?][\\x1a\\x80-\\xbf]{2}|[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a?][\\x1a\\x80-\\xbf]',
    '[\\xf0-\\xf4][\\x1a\\x80-\\xbf]{2}[\\x1a?]|\\x1a',
  ].join('|'),
  'g',
);
const REPLACEMENT_IN_UTF8 = '\xef\xbf\xbd';
const C1 = /[\x80-\x9f]/g;
const MAC_ROMAN = 'macroman';

/** ftfy's `fix_encoding`: steps until nothing changes. */
export function fixEncoding(text: string): string {
  for (let before = text; ; before = text) {
    text = fixEncodingOnce(text);
    if (text === before) return text;
  }
}

/** C1 controls read as Windows-1252, as browsers do. */
export function fixC1Controls(text: string): string {
  return text.replace(C1, (control) => ENCODINGS['sloppy-windows-1252'][control.charCodeAt(0) - 0x80]);
}

function fixEncodingOnce(text: string): string {
  if (/^[\0-\x7f]*$/.test(text) || !looksLikeMojibake(text)) return text;
  for (const encoding of SINGLE_BYTE_ENCODINGS) {
    const bytes = encoding.encode(text);
    if (bytes === undefined) continue;
    const repaired = repair(bytes, encoding);
    const decoded = /[\xc0\xed]/.test(repaired) ? decodeUtf8Variants(repaired) : decodeUtf8(repaired);
    if (decoded !== undefined) return decoded;
  }
  const partly = fixEmbedded(text);
  if (partly !== text) return partly;
  // ftfy reads text that is all Latin-1 as Windows-1252 here, and of other text the C1 controls: the same thing.
  return fixC1Controls(text);
}

function repair(bytes: ByteString, encoding: SingleByteEncoding): ByteString {
  // In MacRoman the lead bytes are an en dash and other signs that a space often follows.
  if (encoding.name !== MAC_ROMAN && bytes.search(SPACE_FOR_A0) >= 0) {
    bytes = bytes
      .replace(A_GRAVE_WORD, '\xc3\xa0 ')
      .replace(SPACE_FOR_A0, (sequence) => sequence.replaceAll(' ', '\xa0'));
  }
  return encoding.sloppy ? bytes.replace(LOST_BYTES, REPLACEMENT_IN_UTF8) : bytes;
}

const LEADS = [UTF8_CLUES.first_of_2, UTF8_CLUES.first_of_3, UTF8_CLUES.first_of_4];
const SEQUENCE_START = new RegExp(`(?<![${UTF8_CLUES.continuation_strict}])[${LEADS.join('')}]`, 'g');
const LEAD = LEADS.map((set) => new RegExp(`[${set}]`));
const CONTINUATION = new RegExp(`[${UTF8_CLUES.continuation}]`);

/** Runs that look like UTF-8 in any of the encodings, each fixed by itself where it looks bad by itself. */
function fixEmbedded(text: string): string {
  let out = '';
  let copied = 0;
  for (let from = 0; ; ) {
    // Set each time: the call below may come back here with another text.
    SEQUENCE_START.lastIndex = from;
    const start = SEQUENCE_START.exec(text)?.index;
    if (start === undefined) return out + text.slice(copied);
    let end = start;
    for (let length = sequenceAt(text, end); length > 0; length = sequenceAt(text, end)) end += length;
    from = Math.max(end, start + 1);
    const run = text.slice(start, end);
    // Shorter than the whole, or this would call itself for ever.
    if (run.length === text.length || !looksLikeMojibake(run)) continue;
    out += text.slice(copied, start) + fixEncoding(run);
    copied = end;
  }
}

/** Length of the sequence of one lead and its continuations that starts at `index`; 0 where none does. */
function sequenceAt(text: string, index: number): number {
  for (let tail = 1; tail <= LEAD.length; tail++) {
    if (index + tail >= text.length || !LEAD[tail - 1].test(text[index])) continue;
    let matched = 1;
    while (matched <= tail && CONTINUATION.test(text[index + matched])) matched++;
    if (matched > tail) return tail + 1;
  }
  return 0;
}
