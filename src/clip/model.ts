/**
 * A CLIP over one open_clip checkpoint: pixels and token ids in, unit embeddings out.
 *
 * Numbers: the towers run in float32, and the same calls give the same bytes, with one thread or two. On x86 a
 * picture's embedding has the same bits alone and in any batch; a caption's moves by up to 1e-7 a component with
 * the longest caption of its run, because attention sums over another length.
 */
import { ModelError } from '../errors.ts';
import { type RangedBytes, readSafetensors } from '../onnx/safetensors.ts';
import type { Session, SessionFactory, Tensor } from '../onnx/session.ts';
import type { ClipConfig } from './config.ts';
import { imageTower } from './towers/image.ts';
import { fp32Linear } from './towers/linear.ts';
import { textTower } from './towers/text.ts';
import { Weights } from './towers/weights.ts';

/** Pictures a run: more gain nothing on a CPU and only cost memory. */
export const IMAGE_BATCH = 16;
/** Captions a run, of like length. */
export const TEXT_BATCH = 64;

export interface ClipModel {
  readonly config: ClipConfig;
  /** Length of an embedding. */
  readonly dim: number;
  /** Tokens a caption may have. */
  readonly contextLength: number;
  /** Side of the pictures, pixels. */
  readonly imageSize: number;
  /** The trained factor on the cosines in the contrastive loss: `exp` of what the checkpoint stores. */
  readonly logitScale: number;
  readonly precision: 'fp32';
  readonly provider: string;
  /**
   * `pixels` float32 `[n, 3, S, S]`, preprocessed as the config says; the answer float32 `[n, dim]`, rows of unit
   * length. Any `n`; runs of `IMAGE_BATCH`. Throws `ModelError`.
   */
  embedImages(pixels: Float32Array, n: number): Promise<Float32Array>;
  /**
   * Token ids, one array a caption, padded with 0 or not; the answer float32 `[ids.length, dim]` in their order,
   * rows of unit length. The embedding is read at the first maximum of a row's ids, as open_clip does. Captions of
   * like length are run together. Throws `ModelError` for an id outside the vocabulary, or too many.
   */
  embedTexts(ids: readonly Int32Array[]): Promise<Float32Array>;
  /** Frees the runtime's memory; the model cannot be used afterwards. */
  release(): Promise<void>;
}

export interface ClipParts {
  config: ClipConfig;
  /** The checkpoint's safetensors file. */
  weights: RangedBytes;
  /** A runtime bound to the same file. */
  sessions: SessionFactory;
}

/** Checks the checkpoint against its config, builds both towers and loads them. Throws `ModelError`. */
export async function loadClip({ config, weights: file, sessions }: ClipParts): Promise<ClipModel> {
  const weights = new Weights(await readSafetensors(file));
  const imageGraph = imageTower(config, weights, fp32Linear, sessions.location);
  const textGraph = textTower(config, weights, fp32Linear, sessions.location);
  const scale = weights.logitScale();
  weights.finish();
  const logitScale = Math.exp(
    widen(await file.slice(scale.offset, scale.offset + scale.length), scale.dtype),
  );
  const image = await sessions.create(imageGraph);
  try {
    const text = await sessions.create(textGraph);
    return new LoadedClip(config, logitScale, sessions.provider, image, text);
  } catch (error) {
    await image.release();
    throw error;
  }
}

class LoadedClip implements ClipModel {
  readonly config: ClipConfig;
  readonly dim: number;
  readonly contextLength: number;
  readonly imageSize: number;
  readonly logitScale: number;
  readonly precision = 'fp32';
  readonly provider: string;
  readonly #image: Session;
  readonly #text: Session;

  constructor(config: ClipConfig, logitScale: number, provider: string, image: Session, text: Session) {
    this.config = config;
    this.dim = config.embedDim;
    this.contextLength = config.text.contextLength;
    this.imageSize = config.vision.imageSize;
    this.logitScale = logitScale;
    this.provider = provider;
    this.#image = image;
    this.#text = text;
  }

  async embedImages(pixels: Float32Array, n: number): Promise<Float32Array> {
    const side = this.imageSize;
    const stride = 3 * side * side;
    if (!Number.isInteger(n) || n < 0 || pixels.length !== n * stride) {
      throw new ModelError(`${pixels.length} pixel values are not ${n} pictures of [3, ${side}, ${side}]`);
    }
    const out = new Float32Array(n * this.dim);
    for (let start = 0; start < n; start += IMAGE_BATCH) {
      const count = Math.min(IMAGE_BATCH, n - start);
      const data = pixels.subarray(start * stride, (start + count) * stride);
      const feeds = { pixels: { type: 'float32', dims: [count, 3, side, side], data } } as const;
      out.set(
        unitRows(embeddingOf(await this.#image.run(feeds), count * this.dim), this.dim),
        start * this.dim,
      );
    }
    return out;
  }

  async embedTexts(ids: readonly Int32Array[]): Promise<Float32Array> {
    const ends = ids.map((row) => this.#endOf(row));
    // Padding costs as much as words do: captions of one length run together. The sort is stable, so the batches
    // are a pure function of what was given.
    const order = ends.map((_, index) => index).sort((a, b) => ends[a] - ends[b]);
    const out = new Float32Array(ids.length * this.dim);
    for (let start = 0; start < order.length; start += TEXT_BATCH) {
      const batch = order.slice(start, start + TEXT_BATCH);
      const embedded = await this.#embedBatch(
        batch.map((index) => ids[index]),
        batch.map((index) => ends[index]),
      );
      batch.forEach((index, row) => {
        out.set(embedded.subarray(row * this.dim, (row + 1) * this.dim), index * this.dim);
      });
    }
    return out;
  }

  async release(): Promise<void> {
    await Promise.all([this.#image.release(), this.#text.release()]);
  }

  async #embedBatch(ids: readonly Int32Array[], ends: readonly number[]): Promise<Float32Array> {
    const n = ids.length;
    const length = Math.max(...ends) + 1;
    const data = new Int32Array(n * length);
    ids.forEach((row, index) => {
      data.set(row.subarray(0, Math.min(row.length, length)), index * length);
    });
    const feeds = {
      ids: { type: 'int32', dims: [n, length], data },
      end: { type: 'int32', dims: [n], data: Int32Array.from(ends) },
    } as const;
    return unitRows(embeddingOf(await this.#text.run(feeds), n * this.dim), this.dim);
  }

  /** The first maximum of the ids: where open_clip reads the embedding, and the end of what is worth running. */
  #endOf(row: Int32Array): number {
    const { contextLength, vocabSize } = this.config.text;
    if (row.length < 1 || row.length > contextLength) {
      throw new ModelError(`a caption has ${row.length} tokens; the model takes 1 to ${contextLength}`);
    }
    let end = 0;
    for (let i = 0; i < row.length; i++) {
      if (row[i] < 0 || row[i] >= vocabSize) {
        throw new ModelError(`the token id ${row[i]} lies outside the model's vocabulary of ${vocabSize}`, {
          hint: 'The tokenizer is not the one this model was trained with',
        });
      }
      if (row[i] > row[end]) end = i;
    }
    return end;
  }
}

/**
 * The cosine of two unit embeddings: rows `i` of `a` and `j` of `b`, both `[…, dim]`. Products are summed in
 * float64 in the order of the components and rounded to float32 once, so the result does not depend on a vector
 * unit; it lies within 2e-7 of open_clip's float32 `(image * text).sum(-1)`, whose order depends on the machine.
 */
export function cosine(a: Float32Array, i: number, b: Float32Array, j: number, dim: number): number {
  let sum = 0;
  for (let k = 0; k < dim; k++) sum += a[i * dim + k] * b[j * dim + k];
  return Math.fround(sum);
}

/** Shorter vectors are divided by this, as torch's `F.normalize` does. */
const MIN_NORM = 1e-12;

/** Scales each row to unit length in place; the norm is taken in float64. */
function unitRows(rows: Float32Array, dim: number): Float32Array {
  for (let start = 0; start < rows.length; start += dim) {
    let sum = 0;
    for (let k = start; k < start + dim; k++) sum += rows[k] * rows[k];
    const norm = Math.max(Math.sqrt(sum), MIN_NORM);
    for (let k = start; k < start + dim; k++) rows[k] /= norm;
  }
  return rows;
}

function embeddingOf(answers: Record<string, Tensor>, length: number): Float32Array {
  const answer = answers['embedding'];
  if (answer?.type !== 'float32' || answer.data.length !== length) {
    throw new ModelError('the runtime gave no embedding of the right size', {
      hint: 'This is a bug in the runtime adapter',
    });
  }
  return answer.data;
}

/** The first element of a stored tensor as a number. */
function widen(bytes: Uint8Array, dtype: 'F32' | 'F16' | 'BF16'): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === 'F32') return view.getFloat32(0, true);
  const half = view.getUint16(0, true);
  if (dtype === 'BF16') return new Float32Array(Uint32Array.of(half * 65_536).buffer)[0];
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
