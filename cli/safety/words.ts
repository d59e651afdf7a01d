/** Word lists that come with the package, and lists from files. */
import { createRequire } from 'node:module';
import { UsageError } from '../../src/errors.ts';
import type { WordList } from '../../src/safety/words/words.ts';

/** Of naughty-words (LDNOOBW's lists, CC BY 4.0), by language tag. */
export const WORD_LANGUAGES = [
  'ar',
  'cs',
  'da',
  'de',
  'en',
  'eo',
  'es',
  'fa',
  'fi',
  'fil',
  'fr',
  'fr-CA-u-sd-caqc',
  'hi',
  'hu',
  'it',
  'ja',
  'kab',
  'ko',
  'nl',
  'no',
  'pl',
  'pt',
  'ru',
  'sv',
  'th',
  'tlh',
  'tr',
  'zh',
] as const;
export type WordLanguage = (typeof WORD_LANGUAGES)[number];

/**
 * The built-in list of a language. Ask for the languages that the captions are in: a word of one language may be innocent
 * in another. Throws `UsageError` for a language without a list.
 */
export function builtInWords(language: string): WordList {
  if (!(WORD_LANGUAGES as readonly string[]).includes(language)) {
    throw new UsageError(`there is no word list for the language ${language}`, {
      hint: `Lists exist for ${WORD_LANGUAGES.join(', ')}; name a file for another`,
    });
  }
  // A plain CommonJS package of JSON files, read when asked for.
  const entries = createRequire(import.meta.url)(`naughty-words/${language}.json`) as string[];
  return { name: language, entries };
}
