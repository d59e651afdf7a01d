import type { Embedder } from '../../src/clip/embedder.ts';
import { IMAGE_BATCH, TEXT_BATCH } from '../../src/clip/model.ts';
import { BatchQueue } from './queue.ts';

export interface BatchingOptions {
  /** Milliseconds that a lone request waits for company. */
  waitMs: number;
  /** Pictures, and captions, that may wait. */
  backlog: number;
}

/**
 * On a CPU a copy of the model is hardly quicker with many inputs a run than with few (fp32: not at all), and everybody in a
 * run waits for all of it: a server keeps runs short.
 */
const CPU_PICTURES = 2;
const CPU_CAPTIONS = 8;

export interface BatchingEmbedder extends Embedder {
  /** Pictures and captions that wait or run. */
  readonly waiting: number;
}

/**
 * The same embedder for many callers at once: their pictures run in batches together, and so do their captions. On a CPU
 * a sample's bits do not depend on its mates (`ClipModel`), so nobody sees a difference but the time. Throws `BusyError` besides what
 * the embedder throws.
 */
export function batching(inner: Embedder, { waitMs, backlog }: BatchingOptions): BatchingEmbedder {
  const { dim, contextLength, imageSize, logitScale, precision, provider, lanes = 1 } = inner;
  const onCpu = provider === 'cpu';
  const rowsOf = (matrix: Float32Array): Float32Array[] =>
    Array.from({ length: matrix.length / dim }, (_, i) => matrix.subarray(i * dim, (i + 1) * dim));
  const pictures = new BatchQueue<Uint8Array, Float32Array>(
    async (batch) => rowsOf(await inner.embedPictures(batch)),
    { batch: onCpu ? CPU_PICTURES : (inner.batch ?? IMAGE_BATCH), lanes, waitMs, backlog },
  );
  const captions = new BatchQueue<Int32Array, Float32Array>(
    async (batch) => rowsOf(await inner.embedTexts(batch)),
    { batch: onCpu ? CPU_CAPTIONS : TEXT_BATCH, lanes, waitMs, backlog },
  );
  const matrixOf = (rows: readonly Float32Array[]): Float32Array => {
    const matrix = new Float32Array(rows.length * dim);
    for (const [i, row] of rows.entries()) matrix.set(row, i * dim);
    return matrix;
  };
  return {
    dim,
    contextLength,
    imageSize,
    logitScale,
    precision,
    provider,
    get waiting() {
      return pictures.waiting + captions.waiting;
    },
    embedPictures: async (batch, signal) => matrixOf(await pictures.run(batch, signal)),
    embedTexts: async (ids, signal) => matrixOf(await captions.run(ids, signal)),
    release: () => inner.release(),
  };
}
