import fc from 'fast-check';
import { expect, it } from 'vitest';
import { halfFloats, halfRows } from '../../../src/clip/export/table.ts';

it('half floats are the nearest ones, and come back as they were', () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, min: -65_504, max: 65_504 }), (value) => {
      const [back] = halfRows(halfFloats(Float32Array.of(value), 't'), 1, Int32Array.of(0));
      // The spacing of half floats there; below 2^-14 it stays what it is.
      const step = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1e-9))) - 10);
      expect(Math.abs(back - value)).toBeLessThanOrEqual(step / 2);
      expect(halfRows(halfFloats(Float32Array.of(back), 't'), 1, Int32Array.of(0))[0]).toBe(back);
    }),
    { numRuns: 2000 },
  );
  const known = [0, -0, 1, -2, 65_504, 2 ** -24, 2 ** -25, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -14];
  const bits = [0, 0x8000, 0x3c00, 0xc000, 0x7bff, 1, 0, 0x3c00, 0x3c02, 0x0400];
  expect([...halfFloats(Float32Array.from(known), 't')]).toEqual(bits);
  for (const value of [65_520, Number.POSITIVE_INFINITY, Number.NaN]) {
    expect(() => halfFloats(Float32Array.of(value), 'token_embedding.weight')).toThrow(/token_embedding/);
  }
});

it('rows are those of the ids', () => {
  const table = halfFloats(
    Float32Array.from({ length: 12 }, (_, i) => i / 4),
    't',
  );
  expect([...halfRows(table, 3, Int32Array.of(2, 0, 2))]).toEqual([1.5, 1.75, 2, 0, 0.25, 0.5, 1.5, 1.75, 2]);
});
