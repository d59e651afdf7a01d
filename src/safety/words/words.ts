/**
 * Captions against lists of words. What comes out is a count for each list; neither an entry nor a caption is ever put
 * in a message.
 *
 * Entries are words or phrases. One matches where it stands as a whole: the characters before and after it are no
 * letters, marks or digits. Scripts without spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar) have no such
 * ends, so there an entry matches anywhere, but for an entry of one character, which must stand alone; in Hangul, where
 * particles follow without a space, only the start is looked at. Case, compatibility forms, unseen characters and the kind
 * of gap (space, hyphen, underscore) do not matter; accents, inflection and spellings with other characters do.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { UsageError } from '../../errors.ts';
import { badLine, listLines } from '../block/lines.ts';
import { classAt, HANGUL, normalise, OTHER, UNSPACED, WORD } from './characters.ts';

/** Counts up when the rules above change. */
const VERSION = 1;

/** A list as it is given: a name for its column and its entries. */
export interface WordList {
  readonly name: string;
  readonly entries: readonly string[];
}

/** Reads a list: UTF-8, one entry a line, `#` begins a comment. Throws `UsageError` naming file and line. */
export function parseWordList(name: string, bytes: Uint8Array, file: string): WordList {
  const entries: string[] = [];
  for (const { text, line } of listLines(bytes, file)) {
    if (normalise(text).trim() === '') {
      throw badLine(file, line, 'has nothing to look for', 'One word or phrase a line');
    }
    entries.push(text);
  }
  if (entries.length === 0) {
    throw new UsageError('the word list has no entry', { file, hint: 'One word or phrase a line' });
  }
  return { name, entries };
}

/** A character of the entries' tree: what may follow, and the lists with an entry that ends here. */
interface Node {
  next: Map<number, Node>;
  /** Indices of lists; empty for most. */
  lists: number[];
  /** An entry of a single character ends here. */
  single: boolean;
}

export class WordMatcher {
  readonly names: readonly string[];
  /** Different entries over all lists, as they are looked for. */
  readonly entries: number;
  /** Hex; of the lists' names and entries and of the rules. */
  readonly fingerprint: string;
  readonly #root: Node = newNode();
  /** Nodes of first characters below 128: most starts of words end here. */
  readonly #first: (Node | undefined)[] = [];
  /** For each list, where in the text its last match ended, so that a word in a matched phrase does not count again. */
  readonly #ends: Int32Array;

  constructor(lists: readonly WordList[]) {
    this.names = lists.map(({ name }) => name);
    const seen = new Set<string>();
    const all = lists.map(({ name, entries }, list) => {
      const sorted = [...new Set(entries.map((entry) => normalise(entry).trim()))]
        .filter((entry) => entry !== '')
        .sort();
      for (const entry of sorted) {
        this.#add(entry, list);
        seen.add(entry);
      }
      return [name, sorted];
    });
    this.entries = seen.size;
    this.fingerprint = bytesToHex(sha256(utf8ToBytes(JSON.stringify(['words', VERSION, all])))).slice(0, 32);
    for (let code = 0; code < 128; code++) this.#first[code] = this.#root.next.get(code);
    this.#ends = new Int32Array(lists.length);
  }

  /** Adds up, into `counts` from `offset`, how often entries of each list stand in a text. */
  count(text: string, counts: Uint16Array, offset = 0): void {
    const plain = normalise(text);
    this.#ends.fill(0);
    let before = OTHER;
    for (let i = 0; i < plain.length; i++) {
      const code = plain.charCodeAt(i);
      const kind = classAt(plain, i);
      // Inside a word of letters nothing begins.
      if (!((kind === WORD || kind === HANGUL) && (before === WORD || before === HANGUL))) {
        const node = code < 128 ? this.#first[code] : this.#root.next.get(code);
        if (node !== undefined) this.#walk(plain, i, node, before, counts, offset);
      }
      before = kind;
    }
  }

  /** Counts of many texts, `[texts.length, names.length]`; 0 where there is no text. */
  countAll(texts: readonly (string | null)[]): Uint16Array {
    const counts = new Uint16Array(texts.length * this.names.length);
    for (const [i, text] of texts.entries()) {
      if (text !== null) this.count(text, counts, i * this.names.length);
    }
    return counts;
  }

  /** Follows the tree from the character at `start`, and counts each list once for the entries that begin there. */
  #walk(text: string, start: number, first: Node, before: number, counts: Uint16Array, offset: number): void {
    let node: Node | undefined = first;
    for (let end = start + 1; node !== undefined; end++) {
      if (node.lists.length > 0 && endsAt(text, end) && !(node.single && !standsAlone(text, before, end))) {
        for (const list of node.lists) {
          if (start >= this.#ends[list]) counts[offset + list]++;
          this.#ends[list] = Math.max(this.#ends[list], end);
        }
      }
      node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined;
    }
  }

  #add(entry: string, list: number): void {
    let node = this.#root;
    for (let i = 0; i < entry.length; i++) {
      const code = entry.charCodeAt(i);
      const next = node.next.get(code) ?? newNode();
      node.next.set(code, next);
      node = next;
    }
    node.lists.push(list);
    node.single = [...entry].length === 1 && classAt(entry, 0) === UNSPACED;
  }
}

function newNode(): Node {
  return { next: new Map(), lists: [], single: false };
}

/** Whether an entry may end before this index: not inside a word of letters. */
function endsAt(text: string, end: number): boolean {
  return !(classAt(text, end - 1) === WORD && classAt(text, end) === WORD);
}

function standsAlone(text: string, before: number, end: number): boolean {
  return before === OTHER && classAt(text, end) === OTHER;
}
