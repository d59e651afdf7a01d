/**
 * Trains a head: cross-validation says how good it is, all rows together make the one that is kept.
 *
 * Every figure is of rows that neither the weights nor the calibration have seen: a fold's scores come from a fit on
 * the other folds, and its calibration from the other folds' scores.
 */
import { UsageError } from '../../../errors.ts';
import type { Layer } from '../layers.ts';
import { sigmoid } from '../math/rows.ts';
import { applyIsotonic, fitIsotonic, fitPlatt } from './calibrate.ts';
import { classCounts, type Labelled, rowsWhere, stratifiedFolds, subset } from './data.ts';
import { type FitOptions, type Fitted, fitHead, predict } from './fit.ts';
import {
  type AtThreshold,
  atThreshold,
  averagePrecision,
  bestThreshold,
  type Estimate,
  rocAuc,
  thresholdForRecall,
} from './metrics.ts';
import { toLayers } from './network.ts';
import { seededRandom } from './random.ts';

export interface TrainOptions extends FitOptions {
  folds: number;
  /** For two classes. */
  calibrate: 'platt' | 'isotonic' | 'none';
  onProgress?: (done: number, total: number) => void;
}

export interface ClassMetrics {
  label: string;
  positives: number;
  rocAuc: Estimate;
  averagePrecision: Estimate;
  /** In each fold by itself. */
  foldAuc: number[];
  thresholds: AtThreshold[];
}

export interface Trained {
  layers: Layer[];
  /** One for two classes, of what is looked for; else one for each class against the others. */
  metrics: ClassMetrics[];
  /** For each of `metrics`, the probability at which F1 is largest. */
  best: number[];
  iterations: number;
  converged: boolean;
}

const THRESHOLDS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
/** And where this share of what is looked for is caught: for a rare class, far below all of the above. */
const RECALLS = [0.5, 0.8, 0.9, 0.95];

/** Throws `UsageError` where the labels cannot be learned from, `CancelledError` on the signal. */
export async function train(data: Labelled, options: TrainOptions): Promise<Trained> {
  checkTraining(data, options);
  const { classes, labels } = data;
  const fold = stratifiedFolds(labels, classes.length, options.folds, seededRandom(options.seed ^ 0x5eed));
  const outputs = classes.length === 2 ? 1 : classes.length;
  const logits = new Float64Array(data.rows * outputs);
  for (let k = 0; k < options.folds; k++) {
    const test = rowsWhere(fold, (value) => value === k);
    const fitted = await fitHead(
      subset(
        data,
        rowsWhere(fold, (value) => value !== k),
      ),
      options,
    );
    const answers = predict(fitted, subset(data, test));
    for (const [i, row] of test.entries())
      logits.set(answers.subarray(i * outputs, (i + 1) * outputs), row * outputs);
    options.onProgress?.(k + 1, options.folds + 1);
  }
  const whole = await fitHead(data, options);
  options.onProgress?.(options.folds + 1, options.folds + 1);
  const honest =
    outputs === 1 ? [await crossCalibrated(logits, labels, fold, options)] : softmaxColumns(logits, outputs);
  const scores = outputs === 1 ? [logits] : honest;
  const metrics = honest.map((probability, c) => {
    const positive = outputs === 1 ? 1 : c;
    const truth = labels.map((label) => (label === positive ? 1 : 0));
    return measure(classes[positive], scores[c], probability, truth, fold, options.folds);
  });
  const best = honest.map((probability, c) =>
    bestThreshold(
      probability,
      labels.map((label) => (label === (outputs === 1 ? 1 : c) ? 1 : 0)),
    ),
  );
  const { iterations, converged } = whole;
  return { layers: await finished(whole, logits, labels, options), metrics, best, iterations, converged };
}

/** Throws `UsageError` where the labels, of `file`, or the settings cannot be trained with. */
export function checkTraining(data: Labelled, options: TrainOptions, file?: string): void {
  const fail = (problem: string, hint: string) => new UsageError(problem, { file, hint });
  const { classes, embeddings } = data;
  const counts = classCounts(data.labels, classes.length);
  if (classes.length < 2) {
    throw fail(
      `every label is ${JSON.stringify(classes[0] ?? '')}: there is nothing to tell apart`,
      'Label samples of both kinds',
    );
  }
  if (!Number.isInteger(options.folds) || options.folds < 2)
    throw new UsageError(`${options.folds} folds`, { hint: 'Cross-validation needs at least 2' });
  if (!(options.l2 >= 0 && Number.isFinite(options.l2)))
    throw new UsageError(`a weight decay of ${options.l2}`, { hint: '--l2 is a number from 0 up' });
  const least = counts.indexOf(Math.min(...counts));
  if (counts[least] < options.folds) {
    const are = counts[least] === 1 ? 'sample is' : 'samples are';
    throw fail(
      `${counts[least]} ${are} labelled ${JSON.stringify(classes[least])}, too few for ${options.folds} folds`,
      'Label more of them, or give fewer --folds (at least 2)',
    );
  }
  if (classes.length > 2 && options.calibrate !== 'none')
    throw fail(
      `${options.calibrate} calibrates two classes, and there are ${classes.length}`,
      'Leave --calibrate out',
    );
  const bad = embeddings.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw fail(
      `the embedding of labelled sample ${Math.floor(bad / data.dim)} holds ${embeddings[bad]}`,
      'Leave the sample out of the labels, or score its shard again',
    );
}

/** Probabilities of each fold by the calibration of the other folds' scores. */
async function crossCalibrated(
  logits: Float64Array,
  labels: Int32Array,
  fold: Int32Array,
  { calibrate, folds }: TrainOptions,
): Promise<Float64Array> {
  if (calibrate === 'none') return logits.map(sigmoid);
  const out = new Float64Array(logits.length);
  for (let k = 0; k < folds; k++) {
    const others = rowsWhere(fold, (value) => value !== k);
    const known = Float64Array.from(others, (row) => logits[row]);
    const truth = Int32Array.from(others, (row) => labels[row]);
    const apply = await calibrator(known, truth, calibrate);
    for (const row of rowsWhere(fold, (value) => value === k)) out[row] = apply(logits[row]);
  }
  return out;
}

async function calibrator(
  logits: Float64Array,
  labels: Int32Array,
  kind: 'platt' | 'isotonic',
): Promise<(logit: number) => number> {
  if (kind === 'platt') {
    const { a, b } = await fitPlatt(logits, labels);
    return (logit) => sigmoid(a * logit + b);
  }
  const points = fitIsotonic(logits.map(sigmoid), labels);
  return (logit) => applyIsotonic(points, sigmoid(logit));
}

function softmaxColumns(logits: Float64Array, outputs: number): Float64Array[] {
  const rows = logits.length / outputs;
  const columns = Array.from({ length: outputs }, () => new Float64Array(rows));
  for (let row = 0; row < rows; row++) {
    const own = logits.subarray(row * outputs, (row + 1) * outputs);
    const top = own.reduce((a, b) => Math.max(a, b));
    const sum = own.reduce((total, z) => total + Math.exp(z - top), 0);
    for (const [c, column] of columns.entries()) column[row] = Math.exp(own[c] - top) / sum;
  }
  return columns;
}

function measure(
  label: string,
  scores: Float64Array,
  probability: Float64Array,
  truth: Int32Array,
  fold: Int32Array,
  folds: number,
): ClassMetrics {
  const foldAuc = Array.from({ length: folds }, (_, k) => {
    const rows = rowsWhere(fold, (value) => value === k);
    return rocAuc(
      Float64Array.from(rows, (row) => scores[row]),
      Int32Array.from(rows, (row) => truth[row]),
    ).value;
  });
  return {
    label,
    positives: classCounts(truth, 2)[1],
    rocAuc: rocAuc(probability, truth),
    averagePrecision: averagePrecision(probability, truth),
    foldAuc,
    thresholds: thresholdsOf(probability, truth).map((threshold) =>
      atThreshold(probability, truth, threshold),
    ),
  };
}

function thresholdsOf(probability: Float64Array, truth: Int32Array): number[] {
  const caught = RECALLS.map((recall) => thresholdForRecall(probability, truth, recall));
  return [...new Set([...THRESHOLDS, ...caught])].sort((a, b) => a - b);
}

/** The head that is kept: all rows' weights, calibrated by all rows' held-out scores. */
async function finished(
  whole: Fitted,
  logits: Float64Array,
  labels: Int32Array,
  { calibrate }: TrainOptions,
): Promise<Layer[]> {
  if (calibrate === 'platt') return toLayers(whole.shape, whole.x, await fitPlatt(logits, labels));
  const layers = toLayers(whole.shape, whole.x);
  if (calibrate === 'none') return layers;
  const { x, y } = fitIsotonic(logits.map(sigmoid), labels);
  return [...layers, { type: 'isotonic', x: Float32Array.from(x), y: Float32Array.from(y) }];
}
