import { expect, test } from 'vitest';
import { EvenDraw } from '../../src/report/draw.ts';
import { twoSidedP } from '../../src/report/statistics.ts';

test('a draw takes just as many rows as wanted, as often from each part of the pool', () => {
  const parts = [0, 0, 0, 0];
  const draw = new EvenDraw(200_000, 10_000);
  for (let row = 0; row < 200_000; row++) if (draw.next()) parts[Math.floor(row / 50_000)]++;
  expect(parts.reduce((a, b) => a + b)).toBe(10_000);
  // Five standard deviations of a count of 2,500 of 10,000.
  for (const part of parts) expect(Math.abs(part - 2500)).toBeLessThan(220);
  const all = new EvenDraw(5, 10);
  expect(Array.from({ length: 5 }, () => all.next())).toEqual(Array(5).fill(true));
});

test('two-sided p of a normal variable, on both sides of where its sums change', () => {
  // 2 * scipy.stats.norm.sf(z), SciPy 1.17.1
  const expected: [number, number][] = [
    [0, 1.0],
    [0.5, 0.6170750774519738],
    [1.96, 0.04999579029644087],
    [2.8, 0.005110260660855864],
    [2.9, 0.003731626600768075],
    [5, 5.733031437583866e-7],
    [12, 3.552964224155306e-33],
  ];
  for (const [z, p] of expected) expect(Math.abs(twoSidedP(-z) / p - 1)).toBeLessThan(1e-11);
});
