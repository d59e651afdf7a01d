/** Columns that are made from captions by the safety room's checks: null where the caption is null. */
import type { RunEntry } from '../metadata/run.ts';
import type { TextClassifier } from '../safety/text/classifier.ts';
import type { WordMatcher } from '../safety/words/words.ts';
import type { RowAnnotator } from './types.ts';

/**
 * How often entries of a list stand in a caption: `safety_words`, or `safety_words_<list>` for another list than the
 * default one.
 */
export function wordsAnnotator(matcher: WordMatcher, list?: string): RowAnnotator {
  const { fingerprint, names, entries } = matcher;
  const suffix = list === undefined ? '' : `_${list}`;
  const name = `safety_words${suffix}`;
  return {
    group: `safety:words${suffix}`,
    fingerprint,
    needs: ['text'],
    entry: { fingerprint, name: 'words', lists: [...names], entries },
    schema: [{ name, type: 'int' }],
    async columns({ text = [] }) {
      const counts = matcher.countAll(text);
      const width = names.length;
      const values = text.map((caption, row) =>
        caption === null ? null : counts.subarray(row * width, (row + 1) * width).reduce((a, b) => a + b, 0),
      );
      return [{ name, type: 'int', values }];
    },
  };
}

/**
 * A text classifier's scores: `safety_text_<slug>_<label>`, a label's name made `[a-z0-9_]+`. `about` is for `run.json`: name,
 * revision, where it comes from.
 */
export function textClassifierAnnotator(
  classifier: TextClassifier,
  slug: string,
  about: Omit<RunEntry, 'fingerprint'>,
): RowAnnotator {
  const { labels, fingerprint, activation } = classifier;
  const schema = columnParts(labels).map((part) => ({
    name: `safety_text_${slug}_${part}`,
    type: 'float' as const,
  }));
  return {
    group: `safety:text_${slug}`,
    fingerprint,
    needs: ['text'],
    entry: { ...about, fingerprint, labels: [...labels], activation },
    schema,
    async columns({ text = [] }) {
      const scores = await classifier.classify(text);
      return schema.map(({ name, type }, k) => ({
        name,
        type,
        values: text.map((caption, row) => (caption === null ? null : scores[row * labels.length + k])),
      }));
    },
    close: () => classifier.release(),
  };
}

/** Names made `[a-z0-9_]+`; one that is then empty or taken gets its place in the list added. */
function columnParts(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name, place) => {
    const part = name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '_')
      .replace(/^_+|_+$/g, '');
    const unique = part === '' || taken.has(part) ? `${part}_${place}`.replace(/^_/, '') : part;
    taken.add(unique);
    return unique;
  });
}
