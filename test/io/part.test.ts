import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { formatPart, parsePart, takePart } from '../../src/io/part.ts';
import { failuresAllowed } from '../../src/run/outcome.ts';

describe('parts of a list', () => {
  it('laid end to end are the list, whatever their number, and differ by one item at most', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 60 }), fc.nat(), (items, n) => {
        const count = 1 + (n % items.length);
        const parts = Array.from({ length: count }, (_, index) => takePart(items, { index, count }));
        expect(parts.flat()).toEqual(items);
        const sizes = parts.map((part) => part.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
      { seed: 1 },
    );
  });

  it('are never empty: more parts than items are refused, whichever part asks', () => {
    for (let index = 0; index < 3; index++) {
      expect(() => takePart(['a', 'b'], { index, count: 3 })).toThrow(UsageError);
      expect(() => takePart(['a', 'b'], { index, count: 3 })).toThrow(/3 parts of 2 inputs.*at most 2/);
    }
  });

  it.each(['8/8', '1/0', '-1/4', '1', '1/', '/4', '1/4/8', '1.0/4', ' 1/4', 'a/b', '0/99999999'])(
    '%j is no part',
    (text) => {
      expect(parsePart(text)).toBeUndefined();
    },
  );

  it('are written as they are read', () => {
    expect(formatPart(parsePart('7/8')!)).toBe('7/8');
  });
});

describe('how many shards may fail', () => {
  it('is a number, or a share rounded down', () => {
    expect(failuresAllowed({ shards: 3 }, 10)).toBe(3);
    for (const [share, shards, allowed] of [
      [0.01, 100, 1],
      [0.01, 99, 0],
      [0.29, 100, 29],
      [0.07, 100, 7],
      [1, 7, 7],
      [0, 7, 0],
    ]) {
      expect(failuresAllowed({ share }, shards)).toBe(allowed);
    }
  });
});
