import { describe, expect, test } from 'vitest';
import { type RefineReport, refineRows, untilSettled } from '../../src/run/refine.ts';
import { coverageOf, sampleSize, smallest } from '../../src/run/refine-band.ts';
import type { RowMask } from '../../src/select/mask.ts';
import { fractionThreshold } from '../../src/select/scores.ts';

/** Numbers in [0, 1) that are the same every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function normal(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

interface Pool {
  fine: Float32Array;
  before: Float32Array<ArrayBuffer>;
  numbers: Float64Array;
}

/** Scores as CLIP's are spread, and what another precision might make of them. */
function pool(seed: number, rows: number, error: (next: () => number, score: number) => number): Pool {
  const next = random(seed);
  // Few digits: equal scores occur, also at the threshold.
  const fine = Float32Array.from(
    { length: rows },
    () => Math.round(2e4 * (0.22 + 0.06 * normal(next))) / 2e4,
  );
  return {
    fine,
    before: fine.map((score) => score + error(next, score)),
    numbers: Float64Array.from({ length: rows }, next),
  };
}

type Cut = (scores: Float32Array) => number;
const fraction =
  (share: number): Cut =>
  (scores) =>
    fractionThreshold([scores.slice()], share);
const threshold =
  (value: number): Cut =>
  () =>
    Math.fround(value);

/** What is kept of the mixed scores when the loop has ended. */
async function refine({ fine, before, numbers }: Pool, cuts: readonly Cut[], there: readonly number[] = []) {
  const known = new Float32Array(before.length).fill(Number.NaN);
  for (const row of there) known[row] = fine[row];
  const rounds: number[] = [];
  const report = await refineRows(
    { before, fine: known, numbers },
    {
      thresholds: async (scores) => cuts.map((cut) => cut(scores)),
      rescore: async (rows: RowMask) => {
        rounds.push(rows.count());
        for (let row = 0; row < fine.length; row++) if (rows.get(row)) known[row] = fine[row];
      },
    },
  );
  const mixed = before.map((score, row) => (Number.isNaN(known[row]) ? score : fine[row]));
  return { report, rounds, known, kept: cuts.map((cut) => keptBy(mixed, cut)) };
}

function keptBy(scores: Float32Array, cut: Cut): number[] {
  const least = cut(scores);
  return [...scores.keys()].filter((row) => scores[row] >= least);
}

const ERRORS: { [name: string]: (next: () => number, score: number) => number } = {
  'normal noise': (next) => 0.002 * normal(next),
  'noise with long tails': (next) => 0.001 * Math.log(1 - next()) * (next() < 0.5 ? 1 : -1),
  'a bias of most of the spread': (next) => -0.05 + 0.002 * normal(next),
  'a scale': (next, score) => 0.1 * score + 0.001 * normal(next),
  none: () => 0,
};

describe.each(Object.entries(ERRORS))('with %s', (_, error) => {
  test.each([1, 2, 3])(
    'what is kept is what fp32 keeps, at a threshold and for a fraction (pool %i)',
    async (seed) => {
      const made = pool(seed, 6000, error);
      for (const cuts of [[threshold(0.28)], [fraction(0.3)], [fraction(0.1), threshold(0.2)]]) {
        const { report, kept } = await refine(made, cuts);
        expect(kept).toEqual(cuts.map((cut) => keptBy(made.fine, cut)));
        expect(report.thresholds).toEqual(cuts.map((cut) => cut(made.fine)).sort((a, b) => a - b));
        expect(report.sample.rows).toBe(256);
        expect(report.band).toBe(1.5 * report.largest);
        expect(report.refined).toBeLessThanOrEqual(6000);
      }
    },
  );
});

test('without refining the subset would be another', () => {
  const { fine, before } = pool(1, 6000, ERRORS['normal noise']);
  expect(keptBy(before, fraction(0.3))).not.toEqual(keptBy(fine, fraction(0.3)));
});

test('small differences cost little: a tenth of the rows, not all', async () => {
  const { report } = await refine(pool(1, 20_000, ERRORS['normal noise']), [fraction(0.3)]);
  expect(report.refined).toBeLessThan(0.25 * 20_000);
  expect(report.refined).toBeGreaterThan(256);
});

test('a band that turns out too narrow becomes wider, and the rows that it takes in are scored', async () => {
  const made = pool(4, 6000, ERRORS['normal noise']);
  // Rows that were not drawn, next to the threshold, and twice as far off as any that was.
  const drawn = smallest(made.numbers, sampleSize(6000));
  const cut = fraction(0.3)(made.fine);
  const near = [...made.fine.keys()].filter(
    (row) => !drawn.get(row) && Math.abs(made.fine[row] - cut) < 0.004,
  );
  for (const row of near.slice(0, 5)) made.before[row] = made.fine[row] + 0.012;
  const { report, rounds, kept } = await refine(made, [fraction(0.3)]);
  expect(report.largest).toBeGreaterThan(report.sample.largest);
  expect(rounds.length).toBeGreaterThan(2);
  expect(kept[0]).toEqual(keptBy(made.fine, fraction(0.3)));
});

test('a run that was stopped ends with the same rows, wherever it was', async () => {
  const made = pool(5, 6000, ERRORS['a scale']);
  const whole = await refine(made, [fraction(0.3)]);
  const rows = [...whole.known.keys()].filter((row) => !Number.isNaN(whole.known[row]));
  for (const share of [0.1, 0.5, 0.9]) {
    const some = rows.filter((row) => (row * 7919) % 1000 < 1000 * share);
    const again = await refine(made, [fraction(0.3)], some);
    expect(again.known).toEqual(whole.known);
    expect(again.report).toEqual(whole.report);
  }
});

test('rows of an earlier threshold stay, and count where they contradict', async () => {
  const made = pool(6, 6000, ERRORS['normal noise']);
  const first = await refine(made, [threshold(0.2)]);
  const there = [...first.known.keys()].filter((row) => !Number.isNaN(first.known[row]));
  // Far outside any band, and known to lie on the other side of the second threshold.
  const odd = there.find((row) => made.before[row] < 0.21)!;
  made.fine[odd] = 0.5;
  const { kept, report } = await refine(made, [threshold(0.3)], there);
  expect(kept[0]).toContain(odd);
  expect(kept[0]).toEqual(keptBy(made.fine, threshold(0.3)));
  expect(report.largest).toBeGreaterThan(0.28);
});

test('pools smaller than a sample are scored whole, and empty ones not at all', async () => {
  const small = await refine(pool(7, 100, ERRORS['normal noise']), [fraction(0.5)]);
  expect(small.report).toMatchObject({ refined: 100, rounds: 0, sample: { rows: 100 } });
  const none = await refine(pool(7, 0, ERRORS['none']), [fraction(0.5)]);
  expect(none.report).toMatchObject({ refined: 0, rounds: 0, band: 0 });
  const all = await refine(pool(8, 1000, ERRORS['normal noise']), [fraction(1)]);
  expect(all.report).toMatchObject({ refined: 256, thresholds: [Number.NEGATIVE_INFINITY] });
});

test('the sample is the smallest numbers, of equal ones the first', () => {
  const mask = smallest(Float64Array.from([0.5, 0.1, 0.5, 0.5, 0.9]), 3);
  expect([0, 1, 2, 3, 4].filter((row) => mask.get(row))).toEqual([0, 1, 2]);
  expect([sampleSize(10), sampleSize(1000), sampleSize(1e6)]).toEqual([10, 256, 10_000]);
});

test('what the largest of n says of the rest is what many draws show', () => {
  const { share, chance } = coverageOf(256);
  // ln 20 / 256 to first order; Wilks' table has 299 rows for 99%.
  expect(share).toBeCloseTo(0.98837, 5);
  expect(coverageOf(299).share).toBeGreaterThan(0.99);
  expect(coverageOf(298).share).toBeLessThan(0.99);
  expect(chance).toBe(1 / 257);
  const next = random(9);
  let [outside, below] = [0, 0];
  for (let draw = 0; draw < 4000; draw++) {
    let largest = 0;
    for (let i = 0; i < 256; i++) largest = Math.max(largest, next());
    if (next() > largest) outside++;
    if (largest < share) below++;
  }
  // Of 4,000 draws of a uniform difference, 5% cover less than the share, and 1 in 257 is exceeded by the next.
  expect(Math.abs(below / 4000 - 0.05)).toBeLessThan(0.01);
  expect(Math.abs(outside / 4000 - chance)).toBeLessThan(0.004);
});

test('several models are refined again until a pass computes nothing; one is so at once', async () => {
  const found: RefineReport = {
    ...{ column: '', thresholds: [], rows: 9, refined: 5, largest: 0, factor: 2, band: 0, rounds: 1 },
    sample: { rows: 5, seed: 0, largest: 0, confidence: 0, share: 0, chance: 0 },
    rescored: 0,
  };
  const order: string[] = [];
  const run = (work: { [model: string]: number[] }) =>
    untilSettled(Object.keys(work), async (column) => {
      order.push(column);
      return { ...found, column, rescored: work[column].shift() ?? 0 };
    });
  expect(await run({ a: [5, 0, 2], b: [4, 1] })).toMatchObject([
    { column: 'a', rescored: 7 },
    { column: 'b', rescored: 5 },
  ]);
  expect(order.join('')).toBe('abababab');
  expect(await run({ c: [5] })).toMatchObject([{ column: 'c', rescored: 5 }]);
  expect(order.join('')).toBe('ababababc');
});
