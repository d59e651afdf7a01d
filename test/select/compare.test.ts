import { describe, expect, it } from 'vitest';
import { MetadataError, UsageError } from '../../src/errors.ts';
import { type CompareOptions, type Comparison, comparePools } from '../../src/select/compare.ts';
import { openPool } from '../../src/select/pool.ts';
import { spearman } from '../../src/select/ranks.ts';
import { foreignFolder, type Table } from '../helpers/foreign.ts';
import { makeUid } from '../helpers/tables.ts';

const B32 = 'clip_b32_similarity_score';

async function compare(
  a: { [file: string]: Table },
  b: { [file: string]: Table },
  options?: CompareOptions,
): Promise<Comparison> {
  return comparePools(await openPool([foreignFolder(a)]), await openPool([foreignFolder(b)]), options);
}

const scores = (...values: number[]) => ({ [B32]: Float32Array.from(values) });

describe('two scores of the same rows', () => {
  it('differ by what is stated, and their subsets overlap as counted by hand', async () => {
    const first = { '00': scores(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1) };
    const second = { '00': scores(0.1, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.95, 0.9, 0.75) };
    const found = await compare(first, second, { fractions: [0.1, 0.5], threshold: 0.8 });
    expect(found.rows).toEqual({ both: 10, onlyFirst: 0, onlySecond: 0, unscored: 0 });
    expect(found.scores.maxAbsolute).toBeCloseTo(0.25, 6);
    expect(found.scores.meanAbsolute).toBeCloseTo((0.05 + 0.15 + 0.25) / 10, 6);
    expect(found.scores.mean).toBeCloseTo((0.05 + 0.15 - 0.25) / 10, 6);
    // Ranks of the last three: 8, 9, 10 against 10, 9, 8; 1 − 6·Σd² / (n·(n² − 1)).
    expect(found.scores.spearman).toBeCloseTo(1 - (6 * 8) / 990, 12);
    // DataComp's rule keeps the row at place int(n·f) too.
    const [tenth, half] = found.fractions;
    expect(tenth).toMatchObject({ fraction: 0.1, kept: [2, 2], both: 1 });
    expect(tenth.jaccard).toBeCloseTo(1 / 3, 12);
    expect(tenth.share).toBe(0.5);
    expect(half).toMatchObject({ kept: [6, 6], both: 6, jaccard: 1, share: 1 });
    expect(found.threshold).toMatchObject({ kept: [3, 2], both: 2, lost: 1, gained: 0 });
  });

  it('are joined by uid and key, whatever their order and their shards', async () => {
    const keys = ['a', 'b', 'c', 'd'];
    const uids = [0, 1, 2, 3].map(makeUid);
    const first = { '00': { uid: uids, key: keys, ...scores(1, 2, 3, 4) } };
    const second = {
      '00': { uid: [uids[2], makeUid(9)], key: ['c', 'z'], ...scores(30, 90) },
      '01': { uid: [uids[0], uids[3], uids[1]], key: ['a', 'other', 'b'], ...scores(10, 40, 20) },
    };
    const found = await compare(first, second);
    expect(found.rows).toEqual({ both: 3, onlyFirst: 1, onlySecond: 2, unscored: 0 });
    expect(found.scores).toMatchObject({ maxAbsolute: 27, meanAbsolute: 18, spearman: 1 });
  });

  it('pair repeated uids in their order', async () => {
    const uid = [makeUid(0), makeUid(0), makeUid(1)];
    const found = await compare(
      { '00': { uid, ...scores(1, 2, 3) } },
      { '01': { uid: [uid[2], uid[0], uid[1]], ...scores(3, 1, 2) } },
    );
    expect(found.rows.both).toBe(3);
    expect(found.scores.maxAbsolute).toBe(0);
  });

  it('leave out rows that one of them did not score', async () => {
    const found = await compare(
      { '00': { [B32]: [0.1, null, 0.3, 0.4] } },
      { '00': { [B32]: [0.1, 0.2, null, 0.4] } },
      { fractions: [1], threshold: 0 },
    );
    expect(found.rows).toEqual({ both: 4, onlyFirst: 0, onlySecond: 0, unscored: 2 });
    expect(found.fractions[0]).toMatchObject({ kept: [2, 2], both: 2 });
    expect(found.threshold).toMatchObject({ kept: [2, 2], lost: 0, gained: 0 });
  });

  it('keep a threshold in the type of each column', async () => {
    // The float32 nearest to 0.24 lies below it, and is kept.
    const found = await compare(
      { '00': scores(0.24, 0.3) },
      { '00': { [B32]: [0.24, 0.3] } },
      { threshold: 0.24 },
    );
    expect(found.threshold).toMatchObject({ kept: [2, 2], lost: 0, gained: 0 });
  });

  it('say nothing where there is nothing to say', async () => {
    const found = await compare(
      { '00': { uid: [makeUid(1)], ...scores(1) } },
      { '00': { uid: [makeUid(2)], ...scores(1) } },
      { fractions: [0.5], threshold: 0.5 },
    );
    expect(found.rows).toMatchObject({ both: 0, onlyFirst: 1, onlySecond: 1 });
    expect(found.scores).toEqual({ maxAbsolute: null, meanAbsolute: null, mean: null, spearman: null });
    expect(found.fractions[0]).toMatchObject({ kept: [0, 0], jaccard: 1, share: 1 });
  });

  it('must be named where there are several, and must be scores', async () => {
    const two = { '00': { ...scores(1, 2), clip_l14_similarity_score: Float32Array.of(3, 4) } };
    await expect(compare(two, two)).rejects.toThrow(UsageError);
    const found = await compare(two, two, { columns: ['b32', 'l14'] });
    expect(found.columns).toEqual([B32, 'clip_l14_similarity_score']);
    expect(found.scores.maxAbsolute).toBe(2);
    const texts = { '00': { ...scores(1, 2), text: ['x', 'y'] } };
    await expect(compare(texts, texts, { columns: ['text', 'text'] })).rejects.toThrow(MetadataError);
  });
});

describe('Spearman’s rank correlation', () => {
  it.each<[string, number[], number[], number]>([
    // scipy.stats.spearmanr 1.16.
    ['ties share their mean rank', [1, 2, 2, 3, 5], [2, 1, 4, 4, 3], 0.3947368421052632],
    ['the other way round', [1, 2, 3, 4], [9, 7, 5, 1], -1],
    ['any growing function', [1, 2, 3, 4], [-1, 0, 100, 1e9], 1],
  ])('%s', (_, x, y, expected) => {
    expect(spearman(Float64Array.from(x), Float64Array.from(y))).toBeCloseTo(expected, 12);
  });

  it('is no number for one value only', () => {
    expect(spearman(Float64Array.of(1, 1), Float64Array.of(1, 2))).toBeNaN();
    expect(spearman(new Float64Array(0), new Float64Array(0))).toBeNaN();
  });
});
