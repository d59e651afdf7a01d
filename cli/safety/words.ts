/** Word lists that come with the package. */
import { UsageError } from '../../src/errors.ts';
import type { WordList } from '../../src/safety/words/words.ts';

/**
 * The built-in list of a language, of naughty-words (LDNOOBW's lists, CC BY 4.0), by its tag: `en`, `zh`, … Ask for the
 * languages that the captions are in: a word of one language may be innocent in another. Throws `UsageError` for a
 * language without a list.
 */
export async function builtInWords(language: string): Promise<WordList> {
  // Read when asked for: it is a file for each language.
  const { default: lists } = await import('naughty-words');
  if (!Object.hasOwn(lists, language)) {
    throw new UsageError(`there is no word list for the language ${language}`, {
      hint: `Lists exist for ${Object.keys(lists).sort().join(', ')}; name a file for another`,
    });
  }
  return { name: language, entries: lists[language] };
}
