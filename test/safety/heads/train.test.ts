import { describe, expect, test } from 'vitest';
import { checkHead } from '../../../src/safety/heads/head.ts';
import { headRunner } from '../../../src/safety/heads/run.ts';
import { applyIsotonic, fitIsotonic, fitPlatt } from '../../../src/safety/heads/train/calibrate.ts';
import { type Labelled, subset } from '../../../src/safety/heads/train/data.ts';
import { type FitOptions, fitHead, predict } from '../../../src/safety/heads/train/fit.ts';
import {
  atThreshold,
  averagePrecision,
  rocAuc,
  thresholdForRecall,
  wilson,
} from '../../../src/safety/heads/train/metrics.ts';
import { type TrainOptions, train } from '../../../src/safety/heads/train/train.ts';
import { fixtureJson } from '../../helpers/fixtures.ts';
import { floatMatrix } from '../../helpers/npy.ts';
import { infoOf } from './support.ts';

interface Golden {
  kinds: number[];
  train: number;
  linear: { [name in 'plain' | 'balanced']: { coef: number[][]; intercept: number[]; auc: number } };
  three: { coef: number[][]; intercept: number[] };
  metrics: {
    scores: number[];
    labels: number[];
    roc_auc: number;
    delong: [number, number];
    average_precision: number;
  };
  wilson: [number, number, number, number][];
  platt: { a: number; b: number };
  isotonic: { at: number[]; y: number[] };
}

const golden = fixtureJson<Golden>('heads/train.json');
const { rows, dim, data } = floatMatrix('heads/train.npy');
const range = (from: number, to: number) => Int32Array.from({ length: to - from }, (_, i) => from + i);

function labelled(classes: 2 | 3): Labelled {
  const labels = Int32Array.from(golden.kinds, (kind) => (classes === 3 ? kind : Number(kind === 1)));
  const names = ['ordinary', 'weapon', 'skull'].slice(0, classes);
  return { rows, dim, embeddings: data, labels, classes: names };
}

const options: FitOptions = {
  hidden: 0,
  optimizer: 'lbfgs',
  l2: 1,
  balanced: false,
  seed: 1,
  maxIterations: 1000,
};
const training = (change: Partial<TrainOptions> = {}): TrainOptions => ({
  ...options,
  folds: 5,
  calibrate: 'platt',
  ...change,
});

function auc(answers: Float64Array, truth: Labelled): number {
  return rocAuc(answers, truth.labels).value;
}

describe('against scikit-learn on the same data', () => {
  const learn = subset(labelled(2), range(0, golden.train));
  const rest = subset(labelled(2), range(golden.train, rows));

  test.each([
    ['plain', { l2: 1 }],
    ['balanced', { l2: 0.1, balanced: true }],
  ] as const)('a linear head, %s: its weights, and its AUC on held-out rows', async (name, change) => {
    const fitted = await fitHead(learn, { ...options, ...change });
    const { coef, intercept, auc: want } = golden.linear[name];
    for (const [i, value] of [...coef[0], ...intercept].entries()) expect(fitted.x[i]).toBeCloseTo(value, 4);
    expect(fitted.converged).toBe(true);
    expect(Math.abs(auc(predict(fitted, rest), rest) - want)).toBeLessThan(0.002);
  });

  test('three classes', async () => {
    const fitted = await fitHead(subset(labelled(3), range(0, golden.train)), { ...options, l2: 0.5 });
    const { coef, intercept } = golden.three;
    for (let c = 0; c < 3; c++) {
      for (let k = 0; k < dim; k++) expect(fitted.x[k * 3 + c]).toBeCloseTo(coef[c][k], 4);
    }
    // Biases are free to move together; scikit-learn's sum to zero.
    const biases = fitted.x.subarray(dim * 3);
    const mean = (biases[0] + biases[1] + biases[2]) / 3;
    for (let c = 0; c < 3; c++) expect(biases[c] - mean).toBeCloseTo(intercept[c], 4);
  });

  test.each([
    ['adam', 0],
    ['adam', 16],
    ['lbfgs', 16],
  ] as const)('%s with %i hidden units comes near the linear optimum', async (optimizer, hidden) => {
    const fitted = await fitHead(learn, { ...options, optimizer, hidden, maxIterations: 300 });
    expect(auc(predict(fitted, rest), rest)).toBeGreaterThan(golden.linear.plain.auc - 0.05);
  });

  test('metrics, ties included', () => {
    const scores = Float64Array.from(golden.metrics.scores);
    const labels = Int32Array.from(golden.metrics.labels);
    const area = rocAuc(scores, labels);
    expect(Math.abs(area.value - golden.metrics.roc_auc)).toBeLessThan(1e-9);
    expect((area.high - area.low) / 2).toBeCloseTo(1.959964 * golden.metrics.delong[1], 6);
    const precision = averagePrecision(scores, labels);
    expect(Math.abs(precision.value - golden.metrics.average_precision)).toBeLessThan(1e-9);
    expect(precision.low).toBeLessThan(precision.value);
    expect(precision.high).toBeGreaterThan(precision.value);
    for (const [hits, count, low, high] of golden.wilson) {
      expect(wilson(hits, count).low).toBeCloseTo(low, 9);
      expect(wilson(hits, count).high).toBeCloseTo(high, 9);
    }
    const cut = atThreshold(Float64Array.of(0.1, 0.5, 0.6, 0.9), Int32Array.of(1, 0, 1, 1), 0.5);
    expect(cut).toMatchObject({ flagged: 0.75, precision: { value: 2 / 3 }, recall: { value: 2 / 3 } });
    const scored = Float64Array.of(0.1, 0.5, 0.6, 0.9, 0.2);
    const truth = Int32Array.of(1, 0, 1, 1, 0);
    expect([0.3, 0.5, 0.7, 1].map((r) => thresholdForRecall(scored, truth, r))).toEqual([0.9, 0.6, 0.1, 0.1]);
    expect(wilson(0, 0)).toEqual({ value: Number.NaN, low: 0, high: 1 });
  });

  test('calibration by Platt and by isotonic regression', async () => {
    const scores = Float64Array.from(golden.metrics.scores);
    const labels = Int32Array.from(golden.metrics.labels);
    const { a, b } = await fitPlatt(scores, labels);
    expect(a).toBeCloseTo(golden.platt.a, 3);
    expect(b).toBeCloseTo(golden.platt.b, 3);
    const points = fitIsotonic(scores, labels);
    for (const [i, at] of golden.isotonic.at.entries())
      expect(applyIsotonic(points, at)).toBeCloseTo(golden.isotonic.y[i], 6);
  });
});

test.each(['platt', 'isotonic', 'none'] as const)(
  'the head that is written gives what was trained: %s',
  async (calibrate) => {
    const trained = await train(labelled(2), training({ calibrate }));
    const head = checkHead({ info: infoOf(dim, ['weapon']), layers: trained.layers }, 't');
    const given = await (await headRunner(head)).run(data, rows);
    const fitted = await fitHead(labelled(2), training());
    const logits = predict(fitted, labelled(2));
    if (calibrate === 'none')
      for (const [i, p] of given.entries()) expect(p).toBeCloseTo(1 / (1 + Math.exp(-logits[i])), 5);
    // Calibration never changes the order, beyond making ties.
    for (let i = 1; i < rows; i++) {
      if (logits[i] > logits[i - 1] + 1e-6) expect(given[i]).toBeGreaterThanOrEqual(given[i - 1]);
    }
    const mean = given.reduce((sum, p) => sum + p, 0) / rows;
    expect(mean).toBeCloseTo(trained.metrics[0].positives / rows, 1);
  },
);

test('the same seed gives the same head, another seed other folds', async () => {
  const mlp = training({ hidden: 8, optimizer: 'adam', maxIterations: 20, folds: 3 });
  expect(await train(labelled(2), mlp)).toEqual(await train(labelled(2), mlp));
  const [a, b] = (await Promise.all([1, 2].map((seed) => train(labelled(2), training({ seed }))))).map(
    ({ metrics }) => metrics[0],
  );
  expect(a.foldAuc).not.toEqual(b.foldAuc);
  expect(a.foldAuc).toHaveLength(5);
  expect(Math.abs(a.rocAuc.value - b.rocAuc.value)).toBeLessThan(0.03);
});

test.each(['platt', 'isotonic', 'none'] as const)(
  'labels that mean nothing give no figure better than chance: %s',
  async (calibrate) => {
    const random = labelled(2);
    // Several draws: held-out scores of such labels rank them backwards, and turned round they would seem to know them.
    for (let seed = 1; seed <= 4; seed++) {
      let state = seed;
      const labels = random.labels.map(() => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return state >>> 31;
      });
      const { rocAuc: area } = (await train({ ...random, labels }, training({ calibrate }))).metrics[0];
      expect(area.low).toBeLessThan(0.5);
    }
  },
);

test('Platt keeps the order of scores: those that rank backwards say the share of positives, no more', async () => {
  const { a, b } = await fitPlatt(Float64Array.of(-2, -1, 1, 2, 3), Int32Array.of(1, 1, 0, 0, 0));
  expect(a).toBe(0);
  expect(1 / (1 + Math.exp(-b))).toBeCloseTo((2 * (3 / 4) + 3 * (1 / 5)) / 5, 12);
});

test('more classes: each against the others', async () => {
  const { metrics, layers } = await train(labelled(3), training({ calibrate: 'none' }));
  expect(metrics.map(({ label }) => label)).toEqual(['ordinary', 'weapon', 'skull']);
  expect(layers.at(-1)).toMatchObject({ outputs: 3, activation: 'softmax' });
});

describe('what cannot be learned from', () => {
  test.each<[string, Labelled, Partial<TrainOptions>, RegExp]>([
    ['one class', { ...labelled(2), labels: new Int32Array(rows), classes: ['a'] }, {}, /every label is "a"/],
    [
      'a class too small',
      labelled(2),
      { folds: 300 },
      /samples are labelled "weapon", too few for 300 folds/,
    ],
    ['calibration of three', labelled(3), {}, /platt calibrates two classes, and there are 3/],
    [
      'NaN',
      { ...labelled(2), embeddings: data.map((v, i) => (i === 20 ? Number.NaN : v)) },
      {},
      /labelled sample 1 holds NaN/,
    ],
  ])('%s', async (_, what, change, message) => {
    await expect(train(what, training(change))).rejects.toThrow(message);
  });
});
