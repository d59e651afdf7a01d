import fc from 'fast-check';
import { expect, it } from 'vitest';
import { topFraction } from '../../src/embeddings/top-fraction.ts';
import { UsageError } from '../../src/errors.ts';

const rows = (keep: Uint8Array) => [...keep.keys()].filter((row) => keep[row] === 1);

it('keeps exactly int(n · f) rows, equal scores by their place', () => {
  const scores = Float32Array.of(0.5, 0.9, 0.5, 0.1, 0.5, 0.7, 0.2, 0.5, 0.3, 0.4);
  const top = topFraction(scores, 0.45);
  expect(rows(top.keep)).toEqual([0, 1, 2, 5]);
  expect(top).toMatchObject({ kept: 4, threshold: 0.5, tiesDropped: 2, unjudged: 0 });
});

it('takes its fraction of the pool or of the rest', () => {
  const scores = Float64Array.from({ length: 10 }, (_, row) => row);
  const among = { get: (row: number) => row < 6 };
  expect(rows(topFraction(scores, 0.4, { among }).keep)).toEqual([2, 3, 4, 5]);
  expect(rows(topFraction(scores, 0.4, { among, of: 'rest' }).keep)).toEqual([4, 5]);
  expect(rows(topFraction(scores, 1, { among }).keep)).toEqual([0, 1, 2, 3, 4, 5]);
});

it('never keeps a NaN, and counts it', () => {
  const top = topFraction(Float32Array.of(Number.NaN, 1, Number.NEGATIVE_INFINITY, 2), 1);
  expect(rows(top.keep)).toEqual([1, 2, 3]);
  expect(top.unjudged).toBe(1);
  expect(topFraction(new Float32Array(3), 0.1)).toMatchObject({ kept: 0, threshold: Number.NaN });
  expect(() => topFraction(new Float32Array(3), 0)).toThrow(UsageError);
});

it('is a stable sort’s first rows', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, f) => {
        const order = values.map((_, row) => row).sort((a, b) => values[b] - values[a] || a - b);
        const want = order.slice(0, Math.trunc(values.length * f)).sort((a, b) => a - b);
        expect(rows(topFraction(Float64Array.from(values), f).keep)).toEqual(want);
      },
    ),
  );
});
