import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fractionThreshold } from '../../src/select/scores.ts';
import { compareUids, sortUids, type Uids, wordsOf } from '../../src/uids/uids.ts';

const numbers = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.double({ min: -1, max: 1, noNaN: true }) },
    fc.constantFrom(
      0.25,
      -0.25,
      0,
      -0,
      1e-310,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      1e300,
    ),
  ),
  { minLength: 1, maxLength: 60 },
);

it('the threshold of a fraction is the one that sorting finds, in both types', () => {
  fc.assert(
    fc.property(
      numbers,
      fc.double({ min: 0.001, max: 1, noNaN: true }),
      fc.nat(60),
      (values, fraction, cut) => {
        for (const Type of [Float32Array, Float64Array]) {
          const all = Type.from(values);
          const sorted = all.filter((value) => !Number.isNaN(value)).sort();
          const place = Math.trunc(all.length * fraction);
          const expected =
            place >= sorted.length ? Number.NEGATIVE_INFINITY : sorted[sorted.length - 1 - place];
          // 0 and -0 keep the same rows.
          expect(fractionThreshold([all.slice(0, cut), all.slice(cut)], fraction) + 0).toBe(expected + 0);
        }
      },
    ),
  );
});

it('uids are sorted whatever their bits: hashes, numbers counted up, a few that repeat', () => {
  const kinds: ((i: number) => number[])[] = [
    (i) => [i * 2654435761, i * 40503 * 65537, i * 97, i],
    (i) => [0, 0, (i * 7919) % 5000, 0],
    (i) => [i % 3, 5, 7, i % 2],
  ];
  for (const kind of kinds) {
    const uids: Uids = new BigUint64Array(2 * 5000);
    const words = wordsOf(uids);
    for (let i = 0; i < 5000; i++)
      words.set(
        kind(i).map((word) => word >>> 0),
        4 * i,
      );
    const sorted = sortUids(uids);
    const expected = Array.from({ length: 5000 }, (_, i) => [uids[2 * i], uids[2 * i + 1]]).sort(
      ([a, b], [c, d]) => (a === c ? (b < d ? -1 : b > d ? 1 : 0) : a < c ? -1 : 1),
    );
    expect([...sorted]).toEqual(expected.flat());
    for (let i = 1; i < 5000; i++)
      expect(compareUids(wordsOf(sorted), i - 1, wordsOf(sorted), i)).toBeLessThanOrEqual(0);
  }
});
