import type { LanguageDetector } from '../language/types.ts';
import type { Column } from '../metadata/columns.ts';
import type { RunEntry } from '../metadata/run.ts';
import type { RowAnnotator } from './types.ts';

/** The columns that select reads instead of asking a detector. */
export const LANGUAGE_COLUMNS = {
  fasttext: { language: 'lang_fasttext', probability: 'lang_fasttext_prob' },
  cld3: { language: 'lang_cld3', probability: undefined },
} as const;

/** The caption's language as columns: null where the caption is null. */
export function languageAnnotator(detector: LanguageDetector, entry: RunEntry): RowAnnotator {
  const { language, probability } = LANGUAGE_COLUMNS[detector.name];
  return {
    group: `language:${detector.name}`,
    fingerprint: detector.fingerprint,
    needs: ['text'],
    entry,
    schema: [
      { name: language, type: 'string' },
      ...(probability === undefined ? [] : [{ name: probability, type: 'float' as const }]),
    ],
    async columns({ text = [] }) {
      const found = await detector.detect(text);
      const columns: Column[] = [
        { name: language, type: 'string', values: found.map((one) => one?.language ?? null) },
      ];
      if (probability !== undefined) {
        const values = found.map((one) => one?.probability ?? null);
        columns.push({ name: probability, type: 'float', values });
      }
      return columns;
    },
  };
}
