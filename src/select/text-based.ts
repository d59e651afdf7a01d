/**
 * DataComp's `text_based` question: does a word of the caption name an ImageNet-21k entity? It asks NLTK 3.8.1 (the
 * version DataComp pins) for `wordnet.synsets(word)[0].offset()`, over WordNet 3.0, and looks that number up in
 * ImageNet-21k's list. Offsets are compared without part of speech, so verbs and adjectives can hit by chance; they
 * do here too. The table (`assets/wordnet`, made by `tools/oracle/entity_table.py`) has one bit in place of offsets.
 */
import { gunzipSync } from 'fflate';
import { MetadataError, messageOf } from '../errors.ts';
import { isPythonSpace } from './captions.ts';

export interface EntityTable {
  /** Whether any word of the caption (Python's `str.split()`; punctuation is part of a word) is an entity. */
  hasEntity(caption: string): boolean;
}

/** In NLTK's order: the first part of speech that knows a form of the word has the first synset. */
const POS = ['noun', 'verb', 'adj', 'adv'] as const;
/** Endings and what takes their place, tried in this order (WordNet's morphy(7), as NLTK has it). */
const RULES: readonly (readonly (readonly [string, string])[])[] = [
  [
    ['s', ''],
    ['ses', 's'],
    ['ves', 'f'],
    ['xes', 'x'],
    ['zes', 'z'],
    ['ches', 'ch'],
    ['shes', 'sh'],
    ['men', 'man'],
    ['ies', 'y'],
  ],
  [
    ['s', ''],
    ['ies', 'y'],
    ['es', 'e'],
    ['es', ''],
    ['ed', 'e'],
    ['ed', ''],
    ['ing', 'e'],
    ['ing', ''],
  ],
  [
    ['er', ''],
    ['est', ''],
    ['er', 'e'],
    ['est', 'e'],
  ],
  [],
];

/** What is known of a lemma as one part of speech: two bits, shifted by twice its place in POS. */
const ABSENT = 0;
const OUTSIDE = 1;
const ENTITY = 2;
const STATES = new Map([
  ['-', ABSENT],
  ['o', OUTSIDE],
  ['x', ENTITY],
]);

const HEADER = 'shardsieve-entities 1';
const HINT = "Use the package's assets/wordnet/entities.txt.gz";
/** Answers kept; all are dropped when that many are there. Some 5 MB. */
const CACHED_WORDS = 1 << 16;
/** V8 keeps the whole caption in memory for a slice of 13 units or more, so longer words are not kept. */
const LONGEST_CACHED_WORD = 12;

/** The table of `assets/wordnet/entities.txt.gz`, gzipped or not. Throws `MetadataError` where it is not that. */
export function loadEntityTable(bytes: Uint8Array): EntityTable {
  return new WordNetEntities(tableLines(bytes));
}

class WordNetEntities implements EntityTable {
  readonly #lemmas = new Map<string, number>();
  readonly #exceptions = POS.map(() => new Map<string, readonly string[]>());
  readonly #answers = new Map<string, boolean>();
  #longestLemma = 0;

  constructor(lines: readonly string[]) {
    let at = 1;
    for (; lines[at]?.startsWith('='); ) at = this.#readGroup(lines, at);
    for (const [i, pos] of POS.entries()) {
      if (lines[at] !== `!${pos}`) throw broken(`line ${at + 1} should be !${pos}`);
      for (at++; at < lines.length && !lines[at].startsWith('!'); at++) {
        const [form, ...lemmas] = lines[at].split(' ');
        this.#exceptions[i].set(form, lemmas);
      }
    }
    if (at !== lines.length || this.#lemmas.size === 0) throw broken(`it ends at line ${at + 1}`);
  }

  hasEntity(caption: string): boolean {
    let start = -1;
    for (let i = 0; i <= caption.length; i++) {
      if (i < caption.length && !isPythonSpace(caption.charCodeAt(i))) {
        if (start < 0) start = i;
      } else if (start >= 0) {
        if (this.#isEntity(caption.slice(start, i))) return true;
        start = -1;
      }
    }
    return false;
  }

  #isEntity(word: string): boolean {
    if (word.length > LONGEST_CACHED_WORD) return this.#lookUp(word);
    const known = this.#answers.get(word);
    if (known !== undefined) return known;
    const answer = this.#lookUp(word);
    if (this.#answers.size >= CACHED_WORDS) this.#answers.clear();
    this.#answers.set(word, answer);
    return answer;
  }

  #lookUp(word: string): boolean {
    const form = word.toLowerCase();
    for (let pos = 0; pos < POS.length; pos++) {
      const state = this.#firstState(form, pos);
      if (state !== ABSENT) return state === ENTITY;
    }
    return false;
  }

  /** State of the first form of the word that is a lemma of this part of speech: itself, then what morphy finds. */
  #firstState(form: string, pos: number): number {
    const own = this.#state(form, pos);
    if (own !== ABSENT) return own;
    const irregular = this.#exceptions[pos].get(form);
    if (irregular) return this.#firstOf(irregular, pos);
    // Rules are applied again and again until a lemma appears: `dogsss` is a dog (NLTK 3.9.1 and later stop after one).
    let forms = [form];
    while (forms.length > 0) {
      forms = inflectedFrom(forms, pos, this.#longestLemma);
      const state = this.#firstOf(forms, pos);
      if (state !== ABSENT) return state;
    }
    return ABSENT;
  }

  #firstOf(forms: readonly string[], pos: number): number {
    for (const form of forms) {
      const state = this.#state(form, pos);
      if (state !== ABSENT) return state;
    }
    return ABSENT;
  }

  #state(form: string, pos: number): number {
    // Not hashing what is too long keeps a caption of a million `s` linear.
    if (form.length > this.#longestLemma) return ABSENT;
    return ((this.#lemmas.get(form) ?? 0) >> (2 * pos)) & 3;
  }

  /** Reads the group whose header is at `at`; returns the line after it. */
  #readGroup(lines: readonly string[], at: number): number {
    const states = Array.from(lines[at].slice(1), (letter) => STATES.get(letter));
    let packed = 0;
    for (const [pos, state] of states.entries()) packed |= (state ?? ABSENT) << (2 * pos);
    if (states.length !== POS.length || states.includes(undefined)) throw broken(`line ${at + 1}`);
    let lemma = '';
    for (at++; at < lines.length && !/^[=!]/.test(lines[at]); at++) {
      const shared = Number.parseInt(lines[at][0], 36);
      if (!(shared <= lemma.length)) throw broken(`line ${at + 1}`);
      lemma = lemma.slice(0, shared) + lines[at].slice(1);
      this.#lemmas.set(lemma, packed);
      this.#longestLemma = Math.max(this.#longestLemma, lemma.length);
    }
    return at;
  }
}

/**
 * What the forms may be inflected from by one rule, in NLTK's order. A form with a letter that was not there before
 * (`f`, `y`, `an`, `e` for `ing`) ends in nothing that has a rule, so one longer than any lemma is not made: all others
 * are slices, and a word of a million `ing` costs no more than its length.
 */
function inflectedFrom(forms: readonly string[], pos: number, longest: number): string[] {
  const found: string[] = [];
  for (const form of forms) {
    for (const [ending, replacement] of RULES[pos]) {
      if (!form.endsWith(ending)) continue;
      const stem = form.length - ending.length;
      if (ending.startsWith(replacement)) found.push(form.slice(0, stem + replacement.length));
      else if (stem + replacement.length <= longest) found.push(form.slice(0, stem) + replacement);
    }
  }
  return found;
}

function tableLines(bytes: Uint8Array): string[] {
  const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(zipped ? gunzipSync(bytes) : bytes);
  } catch (error) {
    throw new MetadataError(`the table of entities cannot be read: ${messageOf(error)}`, {
      hint: HINT,
      cause: error,
    });
  }
  const lines = text.split('\n');
  if (lines[0] !== HEADER || lines.pop() !== '') throw broken('line 1 or the end is not as it must be');
  return lines;
}

function broken(what: string): MetadataError {
  return new MetadataError(`the table of entities is broken: ${what}`, { hint: HINT });
}
