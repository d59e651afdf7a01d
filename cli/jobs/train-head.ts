import { basename } from 'node:path';
import { UsageError } from '../../src/errors.ts';
import { checkHead, HEAD_FORMAT, type Head, OWN_GROUPS } from '../../src/safety/heads/head.ts';
import type { Estimate } from '../../src/safety/heads/train/metrics.ts';
import {
  type ClassMetrics,
  checkTraining,
  type Trained,
  type TrainOptions,
  train,
} from '../../src/safety/heads/train/train.ts';
import { readLabelled } from '../heads/labelled.ts';
import { saveHead } from '../heads/store.ts';
import { slugOf } from '../models/spec.ts';

export interface TrainHeadOptions {
  /** Metadata folders with embeddings. */
  embeddings: readonly string[];
  /** A CSV with `uid,label`. */
  labels: string;
  /** Where the head is written. */
  out: string;
  /** Of the head and its column; default: from the file's name. */
  name?: string;
  positive?: string;
  slug?: string;
  type?: 'linear' | 'mlp';
  /** Units of the hidden layer of an `mlp`; default 64. */
  hidden?: number;
  optimizer?: 'lbfgs' | 'adam';
  classWeight?: 'balanced';
  folds?: number;
  seed?: number;
  calibrate?: 'platt' | 'isotonic' | 'none';
  l2?: number;
  maxIterations?: number;
  /** In words, for the head's description. */
  licence?: string;
  trainedOn?: string;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

export interface TrainedHead {
  head: Head;
  trained: Trained;
  /** Labelled samples. */
  rows: number;
  notes: string[];
}

/**
 * Trains a head on labelled embeddings and writes it with its metrics. Throws `UsageError`, `MetadataError`,
 * `OutputError`, `CancelledError`.
 */
export async function trainHead(options: TrainHeadOptions): Promise<TrainedHead> {
  const name = options.name ?? slugOf(basename(options.out).replace(/\.safetensors$/, ''));
  if (!/^[a-z0-9_]+$/.test(name))
    throw new UsageError(`${JSON.stringify(name)} cannot name a column`, {
      hint: 'A name is made of a-z, 0-9 and _',
    });
  if (OWN_GROUPS.includes(name))
    throw new UsageError(`a head cannot be called ${name}: columns of that name are Shardsieve’s own`, {
      hint: 'Give another --name',
    });
  const { embeddings: folders, labels, positive, slug, signal } = options;
  const { data, space, preprocessFingerprint, notes } = await readLabelled({
    folders,
    labels,
    positive,
    slug,
    signal,
  });
  const settings = settingsOf(options, data.classes.length);
  checkTraining(data, settings, labels);
  // "1" says nothing to whoever reads the figures.
  if (String(data.classes) === '0,1') data.classes = [`not ${name}`, name];
  const trained = await train(data, {
    ...settings,
    signal,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    pause: () => new Promise((resolve) => setImmediate(resolve)),
  });
  const isBinary = data.classes.length === 2;
  const classes = isBinary ? [name] : data.classes;
  const head = checkHead(
    {
      info: {
        format: HEAD_FORMAT,
        name,
        title: `${settings.hidden === 0 ? 'linear' : 'MLP'} head ${name}, trained on ${data.rows} labelled samples`,
        space: { ...space, dim: data.dim },
        preprocess_fingerprint: preprocessFingerprint,
        labels: classes,
        columns: classes.map((label) => (isBinary ? `safety_${name}` : `safety_${name}_${slugOf(label)}`)),
        thresholds: Object.fromEntries(classes.map((label, c) => [label, trained.best[c]])),
        licence: options.licence ?? 'not stated',
        source: 'shardsieve heads train',
        trained_on: options.trainedOn ?? `${data.rows} embeddings labelled in ${basename(labels)}`,
        limits: `It knows what its ${data.rows} labelled samples showed, and is measured on samples like them only`,
        metrics: metricsJson(trained, settings, data.rows, data.classes),
      },
      layers: trained.layers,
    },
    options.out,
  );
  const isLuck = trained.metrics.filter(({ rocAuc }) => !(rocAuc.low > 0.5)).map(({ label }) => label);
  if (isLuck.length > 0) {
    notes.push(
      `${isLuck.join(', ')}: ROC-AUC on held-out rows is not above that of guessing, 0.5, beyond luck: label more samples before the head is used`,
    );
  }
  await saveHead(head, options.out);
  return { head, trained, rows: data.rows, notes };
}

function settingsOf(options: TrainHeadOptions, classes: number): TrainOptions {
  const isLinear = (options.type ?? 'linear') === 'linear';
  return {
    hidden: isLinear ? 0 : (options.hidden ?? 64),
    optimizer: options.optimizer ?? (isLinear ? 'lbfgs' : 'adam'),
    l2: options.l2 ?? 1,
    balanced: options.classWeight === 'balanced',
    seed: options.seed ?? 0,
    maxIterations: options.maxIterations ?? 1000,
    folds: options.folds ?? 5,
    calibrate: options.calibrate ?? (classes > 2 ? 'none' : 'platt'),
  };
}

/** What is written into the head: figures rounded to six places, settings as they were. */
function metricsJson(trained: Trained, settings: TrainOptions, rows: number, classes: readonly string[]) {
  const { hidden, optimizer, l2, balanced, seed, folds, calibrate } = settings;
  return {
    rows,
    classes: [...classes],
    held_out: trained.metrics.map(classJson),
    settings: { hidden, optimizer, l2, balanced, seed, folds, calibrate },
    iterations: trained.iterations,
    converged: trained.converged,
  };
}

function classJson({ label, positives, rocAuc, averagePrecision, foldAuc, thresholds }: ClassMetrics) {
  return {
    label,
    positives,
    roc_auc: estimate(rocAuc),
    average_precision: estimate(averagePrecision),
    fold_roc_auc: foldAuc.map(round),
    thresholds: thresholds.map(({ threshold, flagged, precision, recall }) => ({
      threshold,
      flagged: round(flagged),
      precision: estimate(precision),
      recall: estimate(recall),
    })),
  };
}

/** JSON has no NaN. */
function round(value: number): number | null {
  return Number.isFinite(value) ? Math.round(value * 1e6) / 1e6 : null;
}

function estimate({ value, low, high }: Estimate) {
  return { value: round(value), low: round(low), high: round(high) };
}
