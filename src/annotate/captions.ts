/** Columns that are made from captions by the safety room's checks: null where the caption is null. */
import type { RunEntry } from '../metadata/run.ts';
import type { TextClassifier } from '../safety/text/classifier.ts';
import type { WordMatcher } from '../safety/words/words.ts';
import type { Annotator } from './types.ts';

/** How often entries of each list stand in a caption: `words_<list>`, a list's name made `[a-z0-9_]+`. */
export function wordsAnnotator(matcher: WordMatcher): Annotator {
  const { names, fingerprint } = matcher;
  const schema = columnParts(names).map((part) => ({ name: `words_${part}`, type: 'int' as const }));
  return {
    group: 'words',
    fingerprint,
    needs: ['text'],
    entry: { fingerprint, name: 'words', lists: [...names], entries: matcher.entries },
    schema,
    async columns({ text = [] }) {
      const counts = matcher.countAll(text);
      return schema.map(({ name, type }, k) => ({
        name,
        type,
        values: text.map((caption, row) => (caption === null ? null : counts[row * names.length + k])),
      }));
    },
  };
}

/**
 * A text classifier's scores: `safety_<slug>_<label>`, a label's name made `[a-z0-9_]+`. `about` is for `run.json`: name,
 * revision, where it comes from.
 */
export function textClassifierAnnotator(
  classifier: TextClassifier,
  slug: string,
  about: Omit<RunEntry, 'fingerprint'>,
): Annotator {
  const { labels, fingerprint, activation } = classifier;
  const schema = columnParts(labels).map((part) => ({
    name: `safety_${slug}_${part}`,
    type: 'float' as const,
  }));
  return {
    group: `safety:${slug}`,
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
