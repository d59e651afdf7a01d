import { describe, expect, test } from 'vitest';
import { boundsOf, refuseJudged } from '../../src/run/refine-plan.ts';
import { parseFilters } from '../../src/select/parse.ts';
import type { FilterInput } from '../../src/select/spec.ts';

const bounds = (filters: FilterInput[], slugs = ['a_int8']) => boundsOf(parseFilters(filters), slugs);
const A = 'clip_a_int8_similarity_score';

describe('what is refined', () => {
  test('every bound on the score, wherever it stands', () => {
    const found = bounds([
      { caption: { min_words: 3 } },
      { any: [{ score: { threshold: 0.3 } }, { not: { score: { column: 'a_int8', fraction: 0.1 } } }] },
      { preset: { name: 'clip_score', arch: 'a_int8', fraction: 0.3 } },
      { score: { column: 'other', threshold: 0.1 } },
    ]);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      slug: 'a_int8',
      needsAll: false,
      filters: [
        { score: { column: A, threshold: 0.3 } },
        { score: { column: A, fraction: 0.1 } },
        { score: { column: A, fraction: 0.3 } },
      ],
    });
  });

  test('of several models those that are named', () => {
    const found = bounds([{ score: { column: A, threshold: 0.3 } }], ['a_int8', 'b_int8']);
    expect(found.map(({ slug }) => slug)).toEqual(['a_int8']);
    const both = bounds(
      [
        { score: { column: 'b_int8', fraction: 0.5, of: 'rest' } },
        { score: { column: 'a_int8', threshold: 0.2 } },
      ],
      ['a_int8', 'b_int8'],
    );
    expect(both.map(({ slug, needsAll }) => [slug, needsAll])).toEqual([
      ['b_int8', true],
      ['a_int8', false],
    ]);
  });

  test('filters by the embeddings of other models, and predicates over other columns, go along', () => {
    const score: FilterInput = { score: { column: 'a_int8', threshold: 0.3 } };
    expect(
      bounds([
        score,
        { negcliploss: { slug: 'b32', fraction: 0.5 } },
        { where: 'clip_b32_similarity_score > 0' },
      ]),
    ).toHaveLength(1);
    expect(bounds([score, { cap: { at_most: 3, prefer: 'clip_b32_similarity_score' } }])).toHaveLength(1);
  });
});

describe('what is refused', () => {
  const score: FilterInput = { score: { threshold: 0.3 } };
  test.each<[FilterInput[], RegExp]>([
    [[], /near a bound on the score of a_int8/],
    [[{ score: { column: 'b32', threshold: 0.3 } }], /near a bound/],
    [[{ preset: 'laion2b' }], /near a bound/],
    [[score, { negcliploss: { fraction: 0.5 } }], /negcliploss goes by all embeddings of a_int8/],
    [[score, { near_duplicates: { slug: 'a_int8', clusters: 4 } }], /near_duplicates goes by/],
    [[{ any: [score, { not: { normsim: { targets: 'x.npy', threshold: 1 } } }] }], /normsim goes by/],
    [[score, { cap: { at_most: 3, prefer: A } }], /cap prefers rows by it/],
    [[score, { where: 'CLIP_A_INT8_similarity_score > 0.1' }], /a predicate reads it/],
    [[score, { where: 'NOT clip_a_int8_refined' }], /a predicate reads it/],
  ])('%j', (filters, message) => {
    expect(() => bounds(filters)).toThrow(message);
  });

  test('a safe subset by what judged embeddings', () => {
    const safe = parseFilters([{ safe: {} }]);
    expect(() => refuseJudged(safe, ['concepts'])).toThrow(/concepts would judge embeddings that are not/);
    expect(() => refuseJudged(parseFilters([{ where: 'punsafe < 0.1' }]), ['laion-l14'])).toThrow(
      /laion-l14/,
    );
    expect(() => refuseJudged(safe, [])).not.toThrow();
    expect(() => refuseJudged(parseFilters([score]), ['concepts'])).not.toThrow();
  });
});
