import { describe, expect, test } from 'vitest';
import type { SelectEnv } from '../../src/select/env.ts';
import { filesOf, needingWholePool } from '../../src/select/inspect.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { foreignFolder, keptBy } from '../helpers/foreign.ts';

const tags = ['UNLIKELY', 'UNSURE', 'NSFW', null, 'UNLIKELY', 'unlikely'];
const punsafe = Float32Array.of(0.05, 0.3, 0.9, Number.NaN, 0.1, 0.2);

describe('the safe subset', () => {
  test('is what is tagged UNLIKELY; a row without a known tag is not judged, and kept out', async () => {
    const { kept, steps } = await keptBy(foreignFolder({ a: { nsfw_tag: tags, punsafe } }), [{ safe: {} }]);
    expect(kept).toEqual([0, 4]);
    expect(steps[0]).toMatchObject({ unjudged: 2, found: [{ column: 'nsfw_tag' }] });
    const preset = await keptBy(foreignFolder({ a: { nsfw_tag: tags, punsafe } }), [{ preset: 'safe' }]);
    expect(preset.kept).toEqual([0, 4]);
  });

  test('or what is unsafe with a probability of at most a bound, in the column’s own type', async () => {
    const folder = foreignFolder({ a: { nsfw_tag: tags, punsafe } });
    expect((await keptBy(folder, [{ safe: { max_punsafe: 0.1 } }])).kept).toEqual([0, 4]);
    expect((await keptBy(folder, [{ safe: { max_punsafe: 0.3 } }])).kept).toEqual([0, 1, 4, 5]);
    const { kept, steps } = await keptBy(folder, [{ safe: { max_punsafe: 0 } }]);
    expect(kept).toEqual([]);
    expect(steps[0].unjudged).toBe(1);
  });

  test('of metadata without tags is what lies below the default threshold', async () => {
    const doubles = foreignFolder({ a: { punsafe: [0.05, 0.1, 0.0999, null] } });
    expect((await keptBy(doubles, [{ safe: {} }])).kept).toEqual([0, 2]);
  });

  test('needs its column, and the error says how to make it', async () => {
    const none = foreignFolder({ a: { text: ['x'] } });
    await expect(keptBy(none, [{ safe: {} }])).rejects.toThrow(
      /no column nsfw_tag.*annotate METADATA --safety nsfwjs,laion-l14 --shards SHARDS/,
    );
    const half = foreignFolder({ a: { text: ['x'] }, b: { punsafe: [0.1] } });
    await expect(keptBy(half, [{ safe: { max_punsafe: 0.5 } }])).rejects.toThrow(
      /1 of 2 files have no column punsafe/,
    );
    expect(() => parseFilters([{ safe: { max_punsafe: 1.5 } }])).toThrow(/max_punsafe/);
  });
});

describe('block-lists of pictures', () => {
  const hash = 'f8f8f0cce0f4a84d06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22';
  /** The same hash with its first 4 · n bits inverted. */
  const far = (n: number) =>
    [...hash].map((digit, i) => (i < n ? (15 - Number.parseInt(digit, 16)).toString(16) : digit)).join('');
  const env = (text: string): SelectEnv => ({ readFile: async () => new TextEncoder().encode(text) });
  const folder = foreignFolder({
    a: { pdq: [hash, far(7), far(8), null], member_sha256: ['a', 'b', 'c', 'd'] },
  });

  test('drop hashes within the distance; one that is not there is not judged', async () => {
    const usual = await keptBy(folder, [{ block: { pdq: 'list' } }], { env: env(hash) });
    // 28 bits are within 31, 32 are not.
    expect(usual.kept).toEqual([2]);
    expect(usual.steps[0].unjudged).toBe(1);
    const more = { block: { pdq: 'list', pdq_distance: 32 } };
    expect((await keptBy(folder, [more], { env: env(hash) })).kept).toEqual([]);
    const own = await keptBy(folder, [more], { env: env(`${hash},0`) });
    expect(own.kept).toEqual([1, 2]);
    expect(filesOf(parseFilters([more]))).toEqual(['list']);
    expect(needingWholePool(parseFilters([more]))).toEqual([]);
  });

  test('or the very bytes of the member', async () => {
    const sums = ['1', '2'].map((digit) => digit.repeat(64));
    const members = foreignFolder({ a: { member_sha256: [...sums, null] } });
    const { kept, steps } = await keptBy(members, [{ block: { member_sha256: 'l' } }], { env: env(sums[1]) });
    expect(kept).toEqual([0]);
    expect(steps[0].unjudged).toBe(1);
  });

  test('need the columns of --safety hashes, and a distance needs a list', async () => {
    const none = foreignFolder({ a: { text: ['x'] } });
    await expect(keptBy(none, [{ block: { pdq: 'l' } }], { env: env(hash) })).rejects.toThrow(
      /no column pdq.*--safety hashes --shards SHARDS/,
    );
    expect(() => parseFilters([{ block: { pdq_distance: 3 } }])).toThrow(/name at least one list/);
    expect(() => parseFilters([{ block: { uid: 'u', pdq_distance: 3 } }])).toThrow(/pdq_distance is of pdq/);
  });
});
