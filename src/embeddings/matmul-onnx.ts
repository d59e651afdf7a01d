/**
 * The products on an inference runtime: one small graph a kind, loaded when it is first asked for. A Gemm takes B as
 * it lies (`transB`), and the reduction over the tile follows in the same graph.
 */
import { ModelError } from '../errors.ts';
import { Graph, type Value } from '../onnx/graph.ts';
import type { Session, SessionFactory, Tensor } from '../onnx/session.ts';
import type { ExpSums, Matmul, RowBest } from './matmul.ts';
import type { Float32Matrix } from './types.ts';

export type Kind = 'product' | 'best' | 'biased' | 'largest' | 'squares' | 'expSums' | 'expSumsWide' | 'gram';

/**
 * How far the largest of a row or column may lie below the largest of its tile for one exponential to do for all:
 * what then falls below float32's smallest normal number (e^−87) is less than 1e-7 of the sum of 2,048.
 */
const NARROW = 60;

/** The graph of one kind. `scale` is a factor on every product. */
export function matmulGraph(kind: Kind, scale = 1): Uint8Array {
  const graph = new Graph(`matmul-${kind}`, '');
  const a = graph.input('a', 'float32', ['m', 'k']);
  if (kind === 'gram') {
    graph.output('c', graph.node('Gemm', [a, a], { transA: 1 }), 'float32', ['k', 'k']);
    return graph.finish();
  }
  const inputs = [a, graph.input('b', 'float32', ['n', 'k'])];
  if (kind === 'biased') inputs.push(graph.input('bias', 'float32', ['n']));
  const c = graph.node('Gemm', inputs, { transB: 1, alpha: { float: scale } });
  const reduce = (op: string, value: Value, axis: number, keep = 0): Value =>
    graph.node(op, [value, graph.ints([axis])], { keepdims: keep });
  switch (kind) {
    case 'product':
      graph.output('c', c, 'float32', ['m', 'n']);
      break;
    case 'best':
    case 'biased': {
      const index = graph.node('ArgMax', [c], { axis: 1, keepdims: 0, select_last_index: 0 });
      graph.output('index', graph.toInt(index, 'int32'), 'int32', ['m']);
      graph.output('value', reduce('ReduceMax', c, 1), 'float32', ['m']);
      break;
    }
    case 'largest':
      graph.output('c', reduce('ReduceMax', graph.node('Abs', [c]), 1), 'float32', ['m']);
      break;
    case 'squares':
      graph.output('c', reduce('ReduceSumSquare', c, 1), 'float32', ['m']);
      break;
    case 'expSums': {
      // One exponential a value, relative to the largest of the tile.
      const rowMax = reduce('ReduceMax', c, 1, 1);
      const top = reduce('ReduceMax', rowMax, 0, 1);
      const exps = graph.node('Exp', [graph.node('Sub', [c, top])]);
      graph.output('top', top, 'float32', [1, 1]);
      graph.output('rowMax', rowMax, 'float32', ['m', 1]);
      graph.output('columnMax', reduce('ReduceMax', c, 0), 'float32', ['n']);
      graph.output('rowSum', reduce('ReduceSum', exps, 1), 'float32', ['m']);
      graph.output('columnSum', reduce('ReduceSum', exps, 0), 'float32', ['n']);
      break;
    }
    case 'expSumsWide':
      // Relative to the largest of each row and of each column.
      for (const [name, axis, dim] of [
        ['row', 1, 'm'],
        ['column', 0, 'n'],
      ] as const) {
        const max = reduce('ReduceMax', c, axis, 1);
        const sum = reduce('ReduceSum', graph.node('Exp', [graph.node('Sub', [c, max])]), axis);
        graph.output(`${name}Max`, graph.node('Squeeze', [max, graph.ints([axis])]), 'float32', [dim]);
        graph.output(`${name}Sum`, sum, 'float32', [dim]);
      }
      break;
  }
  return graph.finish();
}

/** Products on the runtime that `sessions` stands for; it needs no weights file. */
export function runtimeMatmul(sessions: SessionFactory): Matmul {
  return new RuntimeMatmul(sessions);
}

class RuntimeMatmul implements Matmul {
  readonly provider: string;
  readonly #factory: SessionFactory;
  readonly #sessions = new Map<string, Promise<Session>>();

  constructor(sessions: SessionFactory) {
    this.provider = sessions.provider;
    this.#factory = sessions;
  }

  async product(a: Float32Matrix, b: Float32Matrix): Promise<Float32Array> {
    if (a.rows < b.rows) return transposed(await this.product(b, a), b.rows, a.rows);
    return floats(await this.#run('product', { a: tensor(a), b: tensor(b) }), 'c', a.rows * b.rows);
  }

  async best(a: Float32Matrix, b: Float32Matrix, bias?: Float32Array): Promise<RowBest> {
    const feeds: Record<string, Tensor> = { a: tensor(padded(a, b)), b: tensor(b) };
    if (bias !== undefined) feeds['bias'] = { type: 'float32', dims: [b.rows], data: bias };
    const answers = await this.#run(bias === undefined ? 'best' : 'biased', feeds);
    const index = answers['index'];
    const value = floats(answers, 'value', Math.max(a.rows, b.rows));
    if (index?.type !== 'int32' || index.data.length !== value.length) throw wrong('index');
    return { value: value.subarray(0, a.rows), index: index.data.subarray(0, a.rows) };
  }

  largest(a: Float32Matrix, b: Float32Matrix): Promise<Float32Array> {
    return this.#perRow('largest', a, b);
  }

  squares(a: Float32Matrix, b: Float32Matrix): Promise<Float32Array> {
    return this.#perRow('squares', a, b);
  }

  async expSums(a: Float32Matrix, b: Float32Matrix, scale: number): Promise<ExpSums> {
    if (a.rows < b.rows) {
      const turned = await this.expSums(b, a, scale);
      const { rowMax: columnMax, rowSum: columnSum, columnMax: rowMax, columnSum: rowSum } = turned;
      return { rowMax, rowSum, columnMax, columnSum };
    }
    const feeds = { a: tensor(a), b: tensor(b) };
    const sums = expSumsOf(await this.#run('expSums', feeds, scale), a.rows, b.rows);
    const [top] = floats(sums.answers, 'top', 1);
    const isNarrow = (max: Float32Array) => max.every((value) => top - value <= NARROW);
    if (!isNarrow(sums.rowMax) || !isNarrow(sums.columnMax)) {
      return expSumsOf(await this.#run('expSumsWide', feeds, scale), a.rows, b.rows);
    }
    const { rowMax, rowSum, columnMax, columnSum } = sums;
    return { rowMax: rowMax.fill(top), rowSum, columnMax: columnMax.fill(top), columnSum };
  }

  async gram(a: Float32Matrix): Promise<Float32Array> {
    return floats(await this.#run('gram', { a: tensor(a) }), 'c', a.dim * a.dim);
  }

  async release(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.allSettled(sessions.map(async (session) => (await session).release()));
  }

  async #perRow(kind: Kind, a: Float32Matrix, b: Float32Matrix): Promise<Float32Array> {
    const answers = await this.#run(kind, { a: tensor(padded(a, b)), b: tensor(b) });
    return floats(answers, 'c', Math.max(a.rows, b.rows)).subarray(0, a.rows);
  }

  async #run(
    kind: Kind,
    feeds: Readonly<Record<string, Tensor>>,
    scale = 1,
  ): Promise<Record<string, Tensor>> {
    const key = `${kind} ${scale}`;
    let session = this.#sessions.get(key);
    if (session === undefined) {
      session = this.#factory.create(matmulGraph(kind, scale));
      this.#sessions.set(key, session);
    }
    try {
      return await (await session).run(feeds);
    } catch (error) {
      // A session that could not be made is not kept: the next call tries again.
      await session.catch(() => this.#sessions.delete(key));
      throw error;
    }
  }
}

function tensor({ rows, dim, data }: Float32Matrix): Tensor {
  return { type: 'float32', dims: [rows, dim], data };
}

function expSumsOf(answers: Record<string, Tensor>, rows: number, columns: number) {
  return {
    answers,
    rowMax: floats(answers, 'rowMax', rows),
    rowSum: floats(answers, 'rowSum', rows),
    columnMax: floats(answers, 'columnMax', columns),
    columnSum: floats(answers, 'columnSum', columns),
  };
}

/**
 * A with rows of zeros up to as many as B has: with fewer, the CPU kernels split the work by columns, and how a sum
 * is cut then depends on the number of threads. Happens at the end of a pool only.
 */
function padded(a: Float32Matrix, b: Float32Matrix): Float32Matrix {
  if (a.rows >= b.rows) return a;
  const data = new Float32Array(b.rows * a.dim);
  data.set(a.data.subarray(0, a.rows * a.dim));
  return { rows: b.rows, dim: a.dim, data };
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j];
  return out;
}

function floats(answers: Record<string, Tensor>, name: string, length: number): Float32Array {
  const answer = answers[name];
  if (answer?.type !== 'float32' || answer.data.length !== length) throw wrong(name);
  return answer.data;
}

function wrong(name: string): ModelError {
  return new ModelError(`the runtime gave no ${name} of the right size`, {
    hint: 'This is a bug in the runtime adapter',
  });
}
