import { describe, expect, it, test } from 'vitest';
import { MetadataError, UsageError } from '../../src/errors.ts';
import { Entries } from '../../src/select/entries.ts';
import type { SelectEnv } from '../../src/select/env.ts';
import { writeSubset } from '../../src/uids/npy.ts';
import { fixtureJson } from '../helpers/fixtures.ts';
import { foreignFolder, keptBy } from '../helpers/foreign.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeUid } from '../helpers/tables.ts';

const files = (content: { [path: string]: string }): SelectEnv => ({
  readFile: async (path) => new TextEncoder().encode(content[path]),
});

describe('filters together', () => {
  // Each of keep, drop and unjudged with each, by two columns: sides of 300, 100 and unknown.
  const sides = [300, 100, null];
  const pairs = sides.flatMap((a) => sides.map((b) => [a, b] as const));
  const folder = foreignFolder({
    a: {
      clip_a_similarity_score: pairs.map(([a]) => a),
      clip_b_similarity_score: pairs.map(([, b]) => b),
    },
  });
  const a = { score: { column: 'a', threshold: 200 } };
  const b = { score: { column: 'b', threshold: 200 } };

  it.each([
    ['all', { all: [a, b] }, [0], 3],
    ['any', { any: [a, b] }, [0, 1, 2, 3, 6], 3],
    ['not', { not: a }, [3, 4, 5], 3],
    ['not any', { not: { any: [a, b] } }, [4], 3],
    ['not all', { not: { all: [a, b] } }, [1, 3, 4, 5, 7], 3],
    // The second sees only what the first left.
    ['sequence', { sequence: [a, b] }, [0], 4],
  ])('%s', async (_, filter, kept, unjudged) => {
    const selection = await keptBy(folder, [filter]);
    expect(selection.kept).toEqual(kept);
    expect(selection.steps).toMatchObject([{ before: 9, after: kept.length, unjudged }]);
  });

  it('in order say what each did: before, after, alone, both', async () => {
    const { steps, overlap, kept } = await keptBy(folder, [a, b]);
    expect(kept).toEqual([0]);
    expect(steps).toMatchObject([
      { before: 9, after: 3, unjudged: 3, alone: 3 },
      { before: 3, after: 1, unjudged: 1, alone: 3 },
    ]);
    expect(overlap).toEqual([
      [3, 1],
      [1, 3],
    ]);
  });

  it('with strict, a row that cannot be judged is an error that names file and row', async () => {
    await expect(keptBy(folder, [a], { strict: true })).rejects.toThrow(
      /3 rows cannot be judged by score.*row 6 first \(file foreign\/a\.parquet\)/,
    );
  });

  it('a fraction is of the pool, or of the rest', async () => {
    const scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2];
    const pool = foreignFolder({ a: { clip_x_similarity_score: scores, n: scores.map((_, i) => i % 2) } });
    const odd = { score: { column: 'n', threshold: 1 } };
    const half = (of: string) => ({ score: { column: 'x', fraction: 0.5, of } });
    // Place 4 of 8 is 0.5, place 2 of 4 odd ones is 0.4; both stay, with all above.
    expect((await keptBy(pool, [odd, half('pool')])).kept).toEqual([1, 3]);
    expect((await keptBy(pool, [odd, half('rest')])).kept).toEqual([1, 3, 5]);
    const preset = (of?: 'rest') => ({ preset: { name: 'clip_score', arch: 'x', fraction: 0.5, of } });
    const { kept, steps } = await keptBy(pool, [odd, preset()]);
    expect(kept).toEqual([1, 3]);
    // What a preset keeps alone is of the pool, as of a filter.
    expect(steps[1]).toMatchObject({ before: 4, after: 2, alone: 5 });
    expect((await keptBy(pool, [odd, preset('rest')])).kept).toEqual([1, 3, 5]);
  });
});

it('what a filter that sees only the rest keeps alone is of the rest, turned around too', async () => {
  const folder = foreignFolder({
    a: { text: ['a', 'a', 'b', 'b', 'b', 'c'], clip_x_similarity_score: [1, 1, 1, 1, 0, 0] },
  });
  const score = { score: { column: 'x', threshold: 1 } };
  const { kept, steps } = await keptBy(folder, [score, { not: { unique: { by: 'text' } } }]);
  expect(kept).toEqual([1, 3]);
  expect(steps).toMatchObject([{ alone: 4 }, { before: 4, after: 2, alone: 2 }]);
  expect((await keptBy(folder, [score, { not: score }])).steps[1]).toMatchObject({ after: 0, alone: 2 });
});

describe('captions and sizes', () => {
  it('count words as Python does, and code points', async () => {
    const folder = foreignFolder({
      a: {
        text: ['one two three', 'one two', 'one\u001ctwo\u0085three', 'a\ufeffb c d', '😀😀 a b', null, ''],
      },
    });
    expect((await keptBy(folder, [{ caption: { min_words: 3 } }])).kept).toEqual([0, 2, 3, 4]);
    expect((await keptBy(folder, [{ caption: { min_characters: 7 } }])).kept).toEqual([0, 1, 2, 3]);
    expect((await keptBy(folder, [{ caption: { max_characters: 6 } }])).kept).toEqual([4, 6]);
    expect((await keptBy(folder, ['unique', { caption: { min_words: 1 } }])).steps[1].unjudged).toBe(1);
  });

  it('a side of 0 has no aspect ratio', async () => {
    const folder = foreignFolder({
      a: {
        original_width: [600, 601, 200, 199, 0, 0, null],
        original_height: [200, 200, 200, 400, 0, 300, 300],
      },
    });
    const { kept, steps } = await keptBy(folder, [{ size: { min_side: 200, max_aspect: 3 } }]);
    expect(kept).toEqual([0, 2]);
    expect(steps[0].unjudged).toBe(1);
    expect((await keptBy(folder, [{ size: { max_aspect: 3 } }])).kept).toEqual([0, 2, 3]);
  });
});

describe('duplicates, caps, balance', () => {
  test('the first of each value stays, over files, and rows without one', async () => {
    const folder = foreignFolder({
      a: { uid: [makeUid(0), makeUid(1), makeUid(0)], sha256: ['x', null, 'y'] },
      b: { uid: [makeUid(3), makeUid(1), makeUid(5)], sha256: ['y', null, 'x'] },
    });
    expect(await keptBy(folder, [{ unique: { by: 'uid' } }])).toMatchObject({
      kept: [0, 1, 3, 5],
      repeats: 0,
    });
    const bySha = await keptBy(folder, [{ unique: { by: 'sha256' } }]);
    expect(bySha.kept).toEqual([0, 0, 1, 1]);
    expect(bySha.steps[0].found).toEqual([{ column: 'sha256', repeats: 2 }]);
    // A row that an earlier filter dropped is nobody's first.
    const env = files({ u: makeUid(3) });
    const later = await keptBy(folder, [{ block: { uid: 'u' } }, { unique: { by: 'sha256' } }], { env });
    expect(later.kept).toEqual([0, 0, 1, 1]);
    const first = await keptBy(folder, [{ block: { uid: 'v' } }, { unique: { by: 'sha256' } }], {
      env: files({ v: makeUid(0) }),
    });
    expect(first.kept).toEqual([1, 1, 3, 5]);
  });

  test('a cap keeps so many of each host: the highest of a column, or drawn by seed and uid', async () => {
    const urls = Array.from({ length: 40 }, (_, i) =>
      i < 30 ? `https://A.example/${i}` : `http://b.example:80/${i}`,
    );
    const folder = foreignFolder({
      a: { url: [...urls, null], quality: [...urls.map((_, i) => (i * 7) % 40), 0] },
    });
    const best = await keptBy(folder, [{ cap: { at_most: 3, prefer: 'quality' } }]);
    expect(best.kept).toHaveLength(7);
    const quality = (i: number) => (i * 7) % 40;
    const top = Array.from({ length: 30 }, (_, i) => i)
      .sort((x, y) => quality(y) - quality(x))
      .slice(0, 3);
    expect(best.kept.filter((i) => i < 30).sort()).toEqual(top.sort());
    const drawn = async (seed: number) => (await keptBy(folder, [{ cap: { at_most: 3, seed } }])).kept;
    expect(await drawn(1)).toHaveLength(7);
    expect(await drawn(1)).toEqual(await drawn(1));
    expect(await drawn(1)).not.toEqual(await drawn(2));
  });

  const golden = fixtureJson<{ entries: string[]; captions: [string, number[]][] }>('metaclip/matches.json');

  test('entries match as in MetaCLIP’s own code', () => {
    const entries = new Entries(golden.entries);
    for (const [caption, matches] of golden.captions) {
      expect(
        [...entries.matches(caption)].sort((x, y) => x - y),
        JSON.stringify(caption),
      ).toEqual(matches);
    }
    expect(golden.captions.filter(([, matches]) => matches.length > 0).length).toBeGreaterThan(100);
  });

  test('balancing thins frequent entries to about the cap, keeps rare ones and drops captions without any', async () => {
    const text = Array.from({ length: 3000 }, (_, i) =>
      i < 2000 ? 'a cat' : i < 2050 ? 'a dog' : 'nothing',
    );
    const folder = foreignFolder({ a: { text } });
    const env = files({ 'e.txt': 'cat\ndog\ncow\n' });
    const { kept, steps } = await keptBy(folder, [{ balance: { entries: 'e.txt', cap: 200 } }], { env });
    const cats = kept.filter((i) => i < 2000).length;
    // 2,000 draws of 0.1: four standard deviations are 54.
    expect(Math.abs(cats - 200)).toBeLessThan(54);
    expect(kept.filter((i) => i >= 2000)).toEqual(Array.from({ length: 50 }, (_, i) => 2000 + i));
    expect(steps[0].found).toEqual([
      { entries: 3, entries_met: 2, entries_thinned: 1, captions_without: 950 },
    ]);
  });
});

describe('a subset', () => {
  test('keeps the rows whose uid it has, repeats or not', async () => {
    const uid = [1, 2, 1, 3, 4].map(makeUid);
    const folder = foreignFolder({ a: { uid } });
    const subset = new MemoryFolder('subsets');
    const uids = BigUint64Array.from([4n, 1n, 1n, 9n].flatMap((n) => [0n, n + 1n]));
    await writeSubset(subset, 's.npy', uids, { multiset: true });
    const env: SelectEnv = { readFile: async (path) => (await subset.read(path))! };
    const { kept, steps } = await keptBy(folder, [{ subset: 's.npy' }], { env });
    expect(kept).toEqual([1, 1, 4]);
    expect(steps[0].found).toEqual([{ uids: 3 }]);
    expect((await keptBy(folder, [{ not: { subset: 's.npy' } }], { env })).kept).toEqual([2, 3]);
    const text = files({ t: 'no subset' });
    await expect(keptBy(folder, [{ subset: 't' }], { env: text })).rejects.toThrow(/not a subset.*file t/);
  });
});

describe('block-lists', () => {
  const folder = foreignFolder({
    a: {
      url: ['https://good.example/a', 'https://x.bad.example/b', null, 'not an url at all ::'],
      sha256: ['00'.repeat(32), 'ff'.repeat(32), 'ab'.repeat(32), null],
    },
  });

  test('drop what they name; what has no value cannot be cleared', async () => {
    const env = files({ d: '# known\nbad.example\n', s: `${'ab'.repeat(32)}\n`, u: `${makeUid(0)}\n` });
    const domain = await keptBy(folder, [{ block: { domain: 'd' } }], { env });
    expect(domain.kept).toEqual([0]);
    expect(domain.steps[0].unjudged).toBe(2);
    expect((await keptBy(folder, [{ block: { sha256: 's' } }], { env })).kept).toEqual([0, 1]);
    expect((await keptBy(folder, [{ block: { uid: 'u' } }], { env })).kept).toEqual([1, 2, 3]);
  });

  test('a malformed line is named by file and line', async () => {
    const env = files({ s: `${'ab'.repeat(32)}\nnonsense\n` });
    await expect(keptBy(folder, [{ block: { sha256: 's' } }], { env })).rejects.toThrow(/line 2.*file s/);
  });
});

describe('what is asked wrongly', () => {
  const folder = foreignFolder({ a: { clip_b32_similarity_score: [0.1, 0.2], text: ['a', 'b'] } });

  it.each<[unknown, RegExp]>([
    [{ scor: {} }, /filters\[0\]: no filter is called scor\. Did you mean score\?/],
    [{ score: { fracton: 0.3 } }, /filters\[0\]\.score has no fracton\. Did you mean fraction\?/],
    [{ score: { fraction: 0.3, threshold: 1 } }, /either threshold or fraction/],
    [{ all: [] }, /filters\[0\]\.all: /],
    [{ any: [{ not: { size: { min_side: 'x' } } }] }, /filters\[0\]\.any\[0\]\.not\.size\.min_side/],
    [{ score: {}, size: {} }, /an object of one field/],
    [
      { preset: 'clipscore' },
      /filters\[0\]\.preset\.name must be one of no_filter, .*Did you mean clip_score\?/,
    ],
    [{ preset: {} }, /filters\[0\]\.preset\.name must be one of .*it is missing/],
    [{ preset: { name: 'basic_filter', threshold: 0.3 } }, /basic_filter takes no threshold.*nothing to set/],
    [
      { preset: { name: 'negcliploss_normsim', threshold: 0.3, targets: 't' } },
      /takes no threshold.*fraction/,
    ],
    [{ near_duplicates: { epsilon: 0.1 } }, /near_duplicates: give either clusters or centroids/],
    [{ preset: 'clip_score' }, /preset clip_score needs a threshold or a fraction/],
    [{ preset: 'image_based' }, /needs --centroids FILE/],
    [{ size: {} }, /no column original_width.*There is clip_b32/],
    [{ language: {} }, /annotate METADATA --lang fasttext/],
    [{ unique: { by: 'txt' } }, /no column txt.*Did you mean text\?/],
    [{ where: 'true' }, /DuckDB/],
  ])('%j', async (filter, message) => {
    await expect(keptBy(folder, [filter])).rejects.toThrow(UsageError);
    await expect(keptBy(folder, [filter])).rejects.toThrow(message);
  });

  it('a column of another kind is named', async () => {
    await expect(keptBy(folder, [{ unique: { by: 'clip_b32_similarity_score' } }])).rejects.toThrow(
      MetadataError,
    );
  });
});
