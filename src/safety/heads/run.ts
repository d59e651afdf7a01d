/**
 * Runs a head over embeddings. What is cheap and exact (lookups, calibration, sums over prompts) is done here; the
 * matrix products are done here too, or by a runtime where one is handed in, which is many times faster for the
 * larger heads. Both ways agree to about 1e-6.
 */
import { ModelError } from '../../errors.ts';
import type { Session, SessionFactory } from '../../onnx/session.ts';
import { encodeRows } from './encode.ts';
import { headGraph } from './graph.ts';
import type { Head } from './head.ts';
import { type Layer, outputWidth } from './layers.ts';
import { denseRows } from './math/dense.ts';
import { argmaxRows, conceptRows, isotonicRows, normaliseRows } from './math/rows.ts';

/** Rows a step: small enough to stay in the cache, large enough for the runtime's matrix product. */
const BLOCK_ROWS = 1024;

export interface HeadRunner {
  readonly head: Head;
  /**
   * `embeddings` float32 `[rows, dim]`, row-major; the answer float32 `[rows, labels]`, in `[0, 1]`. A row that holds
   * a NaN or infinity gives NaN. The embeddings are not changed. Throws `ModelError` where the length does not fit.
   */
  run(embeddings: Float32Array, rows: number): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Makes a head ready to run; `sessions` does the matrix products where given. Throws `ModelError`. */
export async function headRunner(head: Head, sessions?: SessionFactory): Promise<HeadRunner> {
  const graph = sessions === undefined ? undefined : headGraph(head);
  const session = graph === undefined ? undefined : await sessions?.create(graph.bytes);
  return new Runner(head, session === undefined || graph === undefined ? undefined : { session, ...graph });
}

interface Compiled {
  session: Session;
  /** Layers `[start, end)` are in the graph. */
  start: number;
  end: number;
}

class Runner implements HeadRunner {
  readonly head: Head;
  readonly #compiled: Compiled | undefined;

  constructor(head: Head, compiled: Compiled | undefined) {
    this.head = head;
    this.#compiled = compiled;
  }

  async run(embeddings: Float32Array, rows: number): Promise<Float32Array> {
    const { dim } = this.head.info.space;
    if (!Number.isInteger(rows) || rows < 0 || embeddings.length !== rows * dim) {
      throw new ModelError(
        `${embeddings.length} values are not ${rows} embeddings of ${dim} for the head ${this.head.info.name}`,
      );
    }
    const outputs = this.head.info.labels.length;
    const out = new Float32Array(rows * outputs);
    for (let start = 0; start < rows; start += BLOCK_ROWS) {
      const count = Math.min(BLOCK_ROWS, rows - start);
      const block = embeddings.subarray(start * dim, (start + count) * dim);
      const unknown = unknownRows(block, dim);
      out.set(await this.#runBlock(block, count, unknown.length > 0), start * outputs);
      for (const row of unknown) out.fill(Number.NaN, (start + row) * outputs, (start + row + 1) * outputs);
    }
    return out;
  }

  async release(): Promise<void> {
    await this.#compiled?.session.release();
  }

  async #runBlock(block: Float32Array, rows: number, hasNan: boolean): Promise<Float32Array> {
    const { layers, info } = this.head;
    let values = block;
    let width = info.space.dim;
    for (let i = 0; i < layers.length; i++) {
      const compiled = this.#compiled;
      if (compiled !== undefined && i === compiled.start) {
        const feeds = { rows: { type: 'float32', dims: [rows, width], data: values } } as const;
        const answer = (await compiled.session.run(feeds))['values'];
        for (; i < compiled.end; i++) width = outputWidth(layers[i], width);
        i--;
        if (answer?.type !== 'float32' || answer.data.length !== rows * width) {
          throw new ModelError(`the runtime gave no values of the right size for the head ${info.name}`);
        }
        values = answer.data;
        continue;
      }
      values = runLayer(layers[i], values, rows, width, hasNan);
      width = outputWidth(layers[i], width);
    }
    // A head without any layer that copies would hand out the caller's memory.
    return values === block ? block.slice() : values;
  }
}

/** One layer over `[rows, width]`; the input is left as it is. */
export function runLayer(
  layer: Layer,
  values: Float32Array,
  rows: number,
  width: number,
  hasNan = true,
): Float32Array {
  switch (layer.type) {
    case 'encode':
      return encodeRows(layer.lookups, values, rows, width, hasNan);
    case 'normalise':
      return normaliseRows(layer, values, rows);
    case 'dense':
      return denseRows(layer, values, rows);
    case 'concepts':
      return conceptRows(layer, values, rows, width);
    case 'argmax':
      return argmaxRows(layer.index, values, rows, width);
    case 'isotonic':
      return isotonicRows(layer.x, layer.y, values);
  }
}

/** Rows that are no embeddings: whatever the layers make of them, they have no probability. */
function unknownRows(block: Float32Array, dim: number): number[] {
  const found: number[] = [];
  for (let start = 0, row = 0; start < block.length; start += dim, row++) {
    // A finite sum has only finite terms, and float32 terms cannot overflow a double. Two sums, as one would wait for
    // itself at every step.
    const end = start + dim;
    let sum = dim % 2 === 1 ? block[end - 1] : 0;
    let other = 0;
    for (let k = start; k + 1 < end; k += 2) {
      sum += block[k];
      other += block[k + 1];
    }
    if (!Number.isFinite(sum + other)) found.push(row);
  }
  return found;
}
