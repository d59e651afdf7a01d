/** Fits one head to labelled embeddings. */
import { CancelledError } from '../../../errors.ts';
import { type Labelled, rowsWhere, rowWeights, stratifiedFolds } from './data.ts';
import { lbfgs } from './lbfgs.ts';
import { forward, lossAndGradient, parameterCount, type Shape, shapeOf, startAt } from './network.ts';
import { seededRandom } from './random.ts';

export interface FitOptions {
  /** Units of a hidden layer; 0 is a linear head. */
  hidden: number;
  optimizer: 'lbfgs' | 'adam';
  /** The inverse of scikit-learn's C. */
  l2: number;
  balanced: boolean;
  seed: number;
  maxIterations: number;
  /** Awaited now and then, so that a platform can look at its signals. */
  pause?: () => Promise<void>;
  signal?: AbortSignal;
}

export interface Fitted {
  shape: Shape;
  x: Float64Array;
  iterations: number;
  converged: boolean;
}

/** One row in this many is held out to know when to stop, where stopping early is of use. */
const HELD_OUT = 10;
/** Epochs, or ten iterations of L-BFGS, without a better loss on the rows held out. */
const PATIENCE = 10;
const BATCH_ROWS = 64;
const LEARNING_RATE = 1e-3;

/**
 * Fits. A linear head under L-BFGS runs to its optimum, which is the only one. Everything else stops early: by the
 * loss on a tenth of the rows, drawn by the seed, and with the parameters that were best there. Throws
 * `CancelledError`.
 */
export async function fitHead(data: Labelled, options: FitOptions): Promise<Fitted> {
  const shape = shapeOf(data, options.hidden);
  const random = seededRandom(options.seed);
  const start = startAt(shape, random);
  if (options.hidden === 0 && options.optimizer === 'lbfgs') {
    const all = rowsWhere(data.labels, () => true);
    const weights = rowWeights(data, options.balanced);
    const result = await lbfgs(
      (x, gradient) => lossAndGradient(shape, x, gradient, data, all, weights, options.l2),
      start,
      {
        maxIterations: options.maxIterations,
        tolerance: 1e-6 * Math.max(1, data.rows / 1000),
        onIteration: async () => {
          await takeBreath(options);
          return false;
        },
      },
    );
    return { shape, x: result.x, iterations: result.iterations, converged: result.converged };
  }
  const fold = stratifiedFolds(data.labels, data.classes.length, HELD_OUT, random);
  const rows = rowsWhere(fold, (value) => value > 0);
  const held = rowsWhere(fold, (value) => value === 0);
  const job = { data, shape, weights: rowWeights(data, options.balanced), rows, held, options };
  return options.optimizer === 'adam' ? byAdam(job, start, random.shuffle) : byLbfgs(job, start);
}

interface Job {
  data: Labelled;
  shape: Shape;
  weights: Float64Array;
  rows: Int32Array;
  held: Int32Array;
  options: FitOptions;
}

/** Keeps the best parameters, and says when to stop. */
class EarlyStop {
  best = Number.POSITIVE_INFINITY;
  x: Float64Array;
  #since = 0;
  readonly #job: Job;

  constructor(job: Job, start: Float64Array) {
    this.#job = job;
    this.x = start;
  }

  async isOver(x: Float64Array, patience: number): Promise<boolean> {
    const { shape, data, held, weights, options } = this.#job;
    await takeBreath(options);
    const loss = lossAndGradient(shape, x, new Float64Array(x.length), data, held, weights, 0);
    if (loss < this.best) {
      this.best = loss;
      this.x = x.slice();
      this.#since = 0;
    } else this.#since++;
    return this.#since >= patience;
  }
}

async function byLbfgs(job: Job, start: Float64Array): Promise<Fitted> {
  const { shape, data, rows, weights, options } = job;
  const stop = new EarlyStop(job, start);
  const result = await lbfgs(
    (x, gradient) => lossAndGradient(shape, x, gradient, data, rows, weights, options.l2),
    start,
    {
      maxIterations: options.maxIterations,
      tolerance: 1e-6 * Math.max(1, data.rows / 1000),
      onIteration: (x) => stop.isOver(x, 10 * PATIENCE),
    },
  );
  return { shape, x: stop.x, iterations: result.iterations, converged: result.converged };
}

/** Adam (Kingma & Ba 2015) over shuffled batches, with its published constants. */
async function byAdam(
  job: Job,
  start: Float64Array,
  shuffle: (rows: Int32Array) => Int32Array,
): Promise<Fitted> {
  const { shape, data, weights, options } = job;
  const [first, second, epsilon] = [0.9, 0.999, 1e-8];
  const size = parameterCount(shape);
  const [x, gradient, mean, square] = [
    start.slice(),
    ...[0, 1, 2].map(() => new Float64Array(size)),
  ] as const satisfies readonly Float64Array[];
  const stop = new EarlyStop(job, start);
  let step = 0;
  for (let epoch = 1; epoch <= options.maxIterations; epoch++) {
    const order = shuffle(job.rows.slice());
    for (let from = 0; from < order.length; from += BATCH_ROWS) {
      const batch = order.subarray(from, from + BATCH_ROWS);
      lossAndGradient(shape, x, gradient, data, batch, weights, options.l2);
      step++;
      const [a, b] = [1 - first ** step, 1 - second ** step];
      for (let i = 0; i < size; i++) {
        const g = gradient[i] / batch.length;
        mean[i] = first * mean[i] + (1 - first) * g;
        square[i] = second * square[i] + (1 - second) * g * g;
        x[i] -= (LEARNING_RATE * mean[i]) / a / (Math.sqrt(square[i] / b) + epsilon);
      }
    }
    if (await stop.isOver(x, PATIENCE)) return { shape, x: stop.x, iterations: epoch, converged: true };
  }
  return { shape, x: stop.x, iterations: options.maxIterations, converged: false };
}

async function takeBreath({ pause, signal }: FitOptions): Promise<void> {
  await pause?.();
  if (signal?.aborted) throw new CancelledError();
}

/** Logits of every row, `[rows, outputs]`. */
export function predict({ shape, x }: Fitted, data: Labelled): Float64Array {
  return forward(
    shape,
    x,
    data,
    rowsWhere(data.labels, () => true),
  );
}
