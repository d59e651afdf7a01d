/** L-BFGS (Nocedal & Wright, algorithm 7.5) with a bisecting line search for the weak Wolfe conditions. */

/** Writes the gradient at `x` and gives the value. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

export interface LbfgsOptions {
  maxIterations?: number;
  /** Ends when no component of the gradient is larger. */
  tolerance?: number;
  /** Told after each iteration; answering true ends it. */
  onIteration?: (x: Float64Array, value: number) => boolean | Promise<boolean>;
}

export interface LbfgsResult {
  x: Float64Array;
  value: number;
  iterations: number;
  converged: boolean;
}

/** Pairs of steps remembered. */
const MEMORY = 10;
const SUFFICIENT_DECREASE = 1e-4;
const CURVATURE = 0.9;
const MAX_TRIES = 60;

/** Minimises from `start`, which is left as it is. */
export async function lbfgs(
  objective: Objective,
  start: Float64Array,
  options: LbfgsOptions = {},
): Promise<LbfgsResult> {
  const { maxIterations = 1000, tolerance = 1e-6, onIteration } = options;
  const n = start.length;
  let x: Float64Array = start.slice();
  let gradient: Float64Array = new Float64Array(n);
  let value = objective(x, gradient);
  const steps: Float64Array[] = [];
  const changes: Float64Array[] = [];
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    if (largest(gradient) <= tolerance) return { x, value, iterations: iteration, converged: true };
    let direction = descent(gradient, steps, changes);
    if (dot(direction, gradient) >= 0) {
      // Rounding has spoilt the memory: begin again from the gradient.
      steps.length = 0;
      changes.length = 0;
      direction = gradient.map((g) => -g);
    }
    const length = steps.length === 0 ? Math.min(1, 1 / norm(gradient)) : 1;
    const found = search(objective, x, value, gradient, direction, length);
    if (found === undefined) return { x, value, iterations: iteration, converged: false };
    const step = found.x.map((v, i) => v - x[i]);
    const change = found.gradient.map((g, i) => g - gradient[i]);
    if (dot(step, change) > 1e-12 * dot(change, change)) {
      steps.push(step);
      changes.push(change);
      if (steps.length > MEMORY) {
        steps.shift();
        changes.shift();
      }
    }
    ({ x, value, gradient } = found);
    if (await onIteration?.(x, value)) return { x, value, iterations: iteration + 1, converged: true };
  }
  return { x, value, iterations: maxIterations, converged: false };
}

/** The two-loop recursion: minus the inverse Hessian's estimate times the gradient. */
function descent(gradient: Float64Array, steps: Float64Array[], changes: Float64Array[]): Float64Array {
  const direction = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const alpha = dot(steps[i], direction) / dot(steps[i], changes[i]);
    alphas[i] = alpha;
    add(direction, changes[i], -alpha);
  }
  const last = steps.length - 1;
  if (last >= 0) {
    const scale = dot(steps[last], changes[last]) / dot(changes[last], changes[last]);
    for (let i = 0; i < direction.length; i++) direction[i] *= scale;
  }
  for (let i = 0; i < steps.length; i++) {
    const beta = dot(changes[i], direction) / dot(steps[i], changes[i]);
    add(direction, steps[i], alphas[i] - beta);
  }
  return direction;
}

interface Point {
  x: Float64Array;
  value: number;
  gradient: Float64Array;
}

/** Doubles while the slope is still steep, halves where the value does not fall enough. */
function search(
  objective: Objective,
  x: Float64Array,
  value: number,
  gradient: Float64Array,
  direction: Float64Array,
  first: number,
): Point | undefined {
  const slope = dot(gradient, direction);
  let low = 0;
  let high = Number.POSITIVE_INFINITY;
  let length = first;
  let best: Point | undefined;
  for (let i = 0; i < MAX_TRIES; i++) {
    const next = x.map((v, k) => v + length * direction[k]);
    const nextGradient = new Float64Array(x.length);
    const nextValue = objective(next, nextGradient);
    if (!(nextValue <= value + SUFFICIENT_DECREASE * length * slope)) high = length;
    else {
      best = { x: next, value: nextValue, gradient: nextGradient };
      if (dot(nextGradient, direction) >= CURVATURE * slope) return best;
      low = length;
    }
    length = high === Number.POSITIVE_INFINITY ? 2 * low : (low + high) / 2;
  }
  return best;
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function add(into: Float64Array, values: Float64Array, factor: number): void {
  for (let i = 0; i < into.length; i++) into[i] += factor * values[i];
}

function norm(values: Float64Array): number {
  return Math.sqrt(dot(values, values));
}

function largest(values: Float64Array): number {
  let top = 0;
  for (const value of values) top = Math.max(top, Math.abs(value));
  return top;
}
