/** A `tokenizer.json` of Hugging Face's tokenizers, with truncation as the Rust library does it. */
import { Tokenizer } from '@huggingface/tokenizers';
import { ModelError, messageOf } from '../../errors.ts';

export interface TextTokenizer {
  /** Ids with the special tokens, at most so many: what is over is cut from the text's end, not from the special tokens. */
  encode(text: string): number[];
}

/** Throws `ModelError` where the file is no tokenizer, or one that the library cannot run. */
export function createTextTokenizer(
  json: unknown,
  config: unknown,
  maxTokens: number,
  file = 'tokenizer.json',
): TextTokenizer {
  try {
    const tokenizer = new Tokenizer(Object(json), Object(config ?? {}));
    const empty = tokenizer.encode('').ids;
    const room = maxTokens - empty.length;
    if (room < 1) throw new Error(`${maxTokens} tokens leave no room for text`);
    const before = prefixLength(tokenizer, empty);
    return {
      encode(text) {
        const body = tokenizer.encode(text, { add_special_tokens: false }).ids.slice(0, room);
        return [...empty.slice(0, before), ...body, ...empty.slice(before)];
      },
    };
  } catch (cause) {
    throw new ModelError(`the tokenizer cannot be used: ${messageOf(cause)}`, {
      file,
      cause,
      hint: 'It must be a tokenizer.json as the tokenizers library writes it',
    });
  }
}

/** How many of the special tokens stand before the text. */
function prefixLength(tokenizer: Tokenizer, empty: readonly number[]): number {
  const probe = 'a';
  const body: number[] = tokenizer.encode(probe, { add_special_tokens: false }).ids;
  const full: number[] = tokenizer.encode(probe).ids;
  for (let before = 0; before <= empty.length; before++) {
    if (body.every((id, i) => full[before + i] === id) && full.length === body.length + empty.length)
      return before;
  }
  throw new Error('its special tokens stand neither before nor after a text');
}
