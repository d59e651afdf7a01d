/**
 * open_clip's `SimpleTokenizer`: the ids that its CLIP checkpoints were trained with, for any string. Rules after
 * `src/open_clip/tokenizer.py` (open_clip_torch 3.3.0, after OpenAI's CLIP), run with ftfy 6.3.1, regex 2026.11.15
 * and Python 3.11, on whose versions of Unicode a few recent characters depend.
 *
 * Known to differ: where open_clip raises (a decimal character reference of more than 4,300 digits), the reference
 * is read as the U+FFFD that any other number that large gives.
 */
import { gunzipSync } from 'fflate';
import { ModelError, messageOf, UsageError } from '../../errors.ts';
import { BytePairs, MERGE_COUNT } from './bpe.ts';
import { cleanLower } from './clean.ts';
import { END_OF_TEXT, START_OF_TEXT, wordEnd, wordStart } from './words.ts';

export interface Encoded {
  /**
   * Start mark 49406, the caption's ids, end mark 49407: between 2 and `contextLength` of them, not padded. A literal
   * `<start_of_text>` or `<end_of_text>` in the caption becomes that mark, so the end mark may come more than once.
   */
  ids: Int32Array;
  /** Whether the caption had more tokens than there is room for; the end mark then stands in the last place. */
  truncated: boolean;
}

export interface Tokenizer {
  /** Most ids that `encode` gives, the two marks included. */
  readonly contextLength: number;
  /** Any string, lone surrogates included (they count as U+FFFD). Never throws. */
  encode(text: string): Encoded;
}

export interface TokenizerOptions {
  /** Ids at most, the two marks included; at least 2. Default 77, that of all CLIP models. */
  contextLength?: number;
}

export const VOCABULARY_SIZE = 49_408;
const START_ID = 49_406;
const END_ID = 49_407;
const MARKS: ReadonlyMap<string, readonly number[]> = new Map([
  [START_OF_TEXT, [START_ID]],
  [END_OF_TEXT, [END_ID]],
]);
const DEFAULT_CONTEXT_LENGTH = 77;
/** Words kept with their ids; a power of two. A word takes the place of the one that was in its slot: some 10 MB. */
const CACHE_SLOTS = 1 << 16;
/** UTF-16 units; longer words are rarely seen twice. */
const LONGEST_CACHED_WORD = 40;

/**
 * A tokenizer over CLIP's merges: the text of `assets/clip-vocab` (or open_clip's own file), as text, as UTF-8
 * bytes or gzipped. One is enough for any number of models. Throws `ModelError` where they are not CLIP's merges,
 * `UsageError` for a context length below 2.
 */
export function createTokenizer(merges: Uint8Array | string, options: TokenizerOptions = {}): Tokenizer {
  const contextLength = options.contextLength ?? DEFAULT_CONTEXT_LENGTH;
  if (!Number.isSafeInteger(contextLength) || contextLength < 2) {
    throw new UsageError(`a context length of ${contextLength} has no room for the start and end marks`);
  }
  return new ClipTokenizer(new BytePairs(mergesText(merges)), contextLength);
}

class ClipTokenizer implements Tokenizer {
  readonly contextLength: number;
  readonly #pairs: BytePairs;
  readonly #utf8 = new TextEncoder();
  /** A unit of UTF-16 is three bytes of UTF-8 at most. */
  readonly #bytes = new Uint8Array(3 * LONGEST_CACHED_WORD);
  readonly #row: Int32Array;
  readonly #words: string[] = new Array<string>(CACHE_SLOTS).fill('');
  readonly #wordIds: (readonly number[])[] = new Array<readonly number[]>(CACHE_SLOTS).fill([]);

  constructor(pairs: BytePairs, contextLength: number) {
    this.#pairs = pairs;
    this.contextLength = contextLength;
    this.#row = new Int32Array(contextLength);
    this.#row[0] = START_ID;
  }

  encode(text: string): Encoded {
    const clean = cleanLower(text);
    const row = this.#row;
    const room = this.contextLength - 1;
    let count = 1;
    let truncated = false;
    for (let start = wordStart(clean, 0); start < clean.length && !truncated; ) {
      const end = wordEnd(clean, start);
      const ids = this.#idsOf(clean, start, end);
      for (let i = 0; i < ids.length && count + i < room; i++) row[count + i] = ids[i];
      truncated = count + ids.length > room;
      count = Math.min(count + ids.length, room);
      start = wordStart(clean, end);
    }
    row[count] = END_ID;
    return { ids: row.slice(0, count + 1), truncated };
  }

  /** The ids of the word `text[start, end)`, from the cache where it is there. */
  #idsOf(text: string, start: number, end: number): readonly number[] {
    const length = end - start;
    if (length > LONGEST_CACHED_WORD) return this.#pairs.encode(this.#utf8.encode(text.slice(start, end)));
    // FNV-1a's multiplier; any hash would do.
    let hash = length;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    const slot = (hash ^ (hash >>> 16)) & (CACHE_SLOTS - 1);
    const held = this.#words[slot];
    if (held.length === length && text.startsWith(held, start)) return this.#wordIds[slot];
    const word = unshared(text.slice(start, end));
    const ids = MARKS.get(word) ?? this.#pairs.encode(this.#bytesOf(word));
    this.#words[slot] = word;
    this.#wordIds[slot] = ids;
    return ids;
  }

  /** UTF-8 of a word that is cached, in place of the last one's. */
  #bytesOf(word: string): Uint8Array {
    const { written } = this.#utf8.encodeInto(word, this.#bytes);
    return this.#bytes.subarray(0, written);
  }
}

/** V8 keeps the whole caption in memory for a slice of 13 units or more, and copies shorter ones itself. */
function unshared(word: string): string {
  return word.length < 13 ? word : word.split('').join('');
}

function mergesText(merges: Uint8Array | string): string {
  if (typeof merges === 'string') return merges;
  try {
    const zipped = merges[0] === 0x1f && merges[1] === 0x8b;
    return new TextDecoder('utf-8', { fatal: true }).decode(zipped ? gunzipSync(merges) : merges);
  } catch (error) {
    throw new ModelError(`the CLIP vocabulary's ${MERGE_COUNT} merges cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
