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
const BLOCK_ROWS = 2048;

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
      out.set(await this.#runBlock(block, count), start * outputs);
      markUnknown(block, out.subarray(start * outputs, (start + count) * outputs), dim, outputs);
    }
    return out;
  }

  async release(): Promise<void> {
    await this.#compiled?.session.release();
  }

  async #runBlock(block: Float32Array, rows: number): Promise<Float32Array> {
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
      values = runLayer(layers[i], values, rows, width);
      width = outputWidth(layers[i], width);
    }
    // A head without any layer that copies would hand out the caller's memory.
    return values === block ? block.slice() : values;
  }
}

/** One layer over `[rows, width]`; the input is left as it is. */
export function runLayer(layer: Layer, values: Float32Array, rows: number, width: number): Float32Array {
  switch (layer.type) {
    case 'encode':
      return encodeRows(layer.lookups, values, rows, width);
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

/** An embedding that is no embedding has no probability, whatever the layers make of it. */
function markUnknown(block: Float32Array, out: Float32Array, dim: number, outputs: number): void {
  for (let row = 0; row * dim < block.length; row++) {
    let sum = 0;
    for (let k = row * dim; k < (row + 1) * dim; k++) sum += block[k];
    // A finite sum has only finite terms.
    if (!Number.isFinite(sum)) out.fill(Number.NaN, row * outputs, (row + 1) * outputs);
  }
}
