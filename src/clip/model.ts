/**
 * A CLIP over one open_clip checkpoint: pixels and token ids in, unit embeddings out.
 *
 * Numbers: the same calls give the same bytes, with one thread or two. On x86 the embedding of a picture or a caption
 * has the same bits alone and in any batch, in any precision (`precision.ts`).
 */
import { ModelError } from '../errors.ts';
import { type RangedBytes, readSafetensors, type TensorTable } from '../onnx/safetensors.ts';
import type { Session, SessionFactory, Tensor } from '../onnx/session.ts';
import { widen } from '../onnx/widen.ts';
import type { ClipConfig } from './config.ts';
import { movedTable, readQuantised } from './int8/file.ts';
import { int8Linear } from './int8/linear.ts';
import { type ByteSign, exactSign } from './int8/probe.ts';
import type { Precision, QuantisedPrecision } from './precision.ts';
import { imageTower } from './towers/image.ts';
import { fp16Linear, fp32Linear, type Linear } from './towers/linear.ts';
import { textTower } from './towers/text.ts';
import { Weights } from './towers/weights.ts';

/** Changes with anything about the towers that moves a score, be it by the last bit; part of fingerprints. */
export const TOWERS_VERSION = 3;

/** Pictures a run: more gain nothing on a CPU and only cost memory. */
export const IMAGE_BATCH = 16;
/** Captions a run, of like length. */
export const TEXT_BATCH = 64;
/**
 * Captions run padded to a multiple of this, and with others of the same multiple only. What a caption is padded to
 * then follows from the caption alone, and so do its bits: attention sums over as many places whoever its mates are.
 */
export const TEXT_STEP = 4;

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
  readonly precision: Precision;
  readonly provider: string;
  /**
   * `pixels` float32 `[n, 3, S, S]`, preprocessed as the config says; the answer float32 `[n, dim]`, rows of unit
   * length. Any `n`; runs of `batch`, `IMAGE_BATCH` where absent. Throws `ModelError`.
   */
  embedImages(pixels: Float32Array, n: number, batch?: number): Promise<Float32Array>;
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
  /** A runtime bound to the same file, or to the quantised one. */
  sessions: SessionFactory;
  /** For another precision than fp32: the file that the checkpoint was quantised into. */
  quantised?: {
    file: RangedBytes;
    precision: QuantisedPrecision;
    /** How bytes are handed to the runtime; found out where absent. It changes no number. */
    sign?: ByteSign;
  };
  /** Products in half floats, from the same checkpoint. */
  half?: boolean;
}

/** Checks the checkpoint against its config, builds both towers and loads them. Throws `ModelError`. */
export async function loadClip(parts: ClipParts): Promise<ClipModel> {
  const { config, weights: file, sessions } = parts;
  const table = await readSafetensors(file);
  const weights = new Weights(table);
  const { linear, tensors } = await computeAs(parts, table, weights);
  const imageGraph = imageTower(config, tensors, linear, sessions.location, sessions.attention);
  const textGraph = textTower(config, tensors, linear, sessions.location, sessions.attention);
  const scale = weights.logitScale();
  tensors.logitScale();
  tensors.finish();
  const stored = await file.slice(scale.offset, scale.offset + scale.length);
  const logitScale = Math.exp(widen(stored, scale.dtype)[0]);
  const image = await sessions.create(imageGraph);
  try {
    const text = await sessions.create(textGraph);
    const precision = parts.quantised?.precision ?? (parts.half ? 'fp16' : 'fp32');
    return new LoadedClip(config, { logitScale, precision, provider: sessions.provider }, image, text);
  } catch (error) {
    await image.release();
    throw error;
  }
}

/** How linear layers are computed, and where the other tensors lie. */
async function computeAs(
  { quantised, half, sessions }: ClipParts,
  table: TensorTable,
  weights: Weights,
): Promise<{ linear: Linear; tensors: Weights }> {
  if (quantised === undefined) return { linear: half ? fp16Linear() : fp32Linear, tensors: weights };
  const file = await readQuantised(quantised.file);
  const sign = quantised.sign ?? (await exactSign(sessions));
  return {
    linear: int8Linear(file, quantised.precision, sign),
    tensors: new Weights(movedTable(table, file)),
  };
}

class LoadedClip implements ClipModel {
  readonly config: ClipConfig;
  readonly dim: number;
  readonly contextLength: number;
  readonly imageSize: number;
  readonly logitScale: number;
  readonly precision: Precision;
  readonly provider: string;
  readonly #image: Session;
  readonly #text: Session;

  constructor(
    config: ClipConfig,
    { logitScale, precision, provider }: Pick<ClipModel, 'logitScale' | 'precision' | 'provider'>,
    image: Session,
    text: Session,
  ) {
    this.config = config;
    this.dim = config.embedDim;
    this.contextLength = config.text.contextLength;
    this.imageSize = config.vision.imageSize;
    this.logitScale = logitScale;
    this.precision = precision;
    this.provider = provider;
    this.#image = image;
    this.#text = text;
  }

  async embedImages(pixels: Float32Array, n: number, batch = IMAGE_BATCH): Promise<Float32Array> {
    const side = this.imageSize;
    const stride = 3 * side * side;
    if (!Number.isInteger(n) || n < 0 || pixels.length !== n * stride) {
      throw new ModelError(`${pixels.length} pixel values are not ${n} pictures of [3, ${side}, ${side}]`);
    }
    const out = new Float32Array(n * this.dim);
    for (let start = 0; start < n; start += batch) {
      const count = Math.min(batch, n - start);
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
    const out = new Float32Array(ids.length * this.dim);
    for (const { length, members } of textRuns(ends, this.contextLength)) {
      const embedded = await this.#embedBatch(
        length,
        members.map((index) => ids[index]),
        members.map((index) => ends[index]),
      );
      members.forEach((index, row) => {
        out.set(embedded.subarray(row * this.dim, (row + 1) * this.dim), index * this.dim);
      });
    }
    return out;
  }

  async release(): Promise<void> {
    await Promise.all([this.#image.release(), this.#text.release()]);
  }

  async #embedBatch(
    length: number,
    ids: readonly Int32Array[],
    ends: readonly number[],
  ): Promise<Float32Array> {
    const n = ids.length;
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
    const outside = row.find((id) => id < 0 || id >= vocabSize);
    if (outside !== undefined) {
      throw new ModelError(`the token id ${outside} lies outside the model's vocabulary of ${vocabSize}`, {
        hint: 'The tokenizer is not the one this model was trained with',
      });
    }
    return firstMaximum(row);
  }
}

/** What runs together of captions that end at `ends`: at most `TEXT_BATCH` indices, and the length they are padded to. */
export function textRuns(
  ends: readonly number[],
  contextLength: number,
): { length: number; members: number[] }[] {
  const open = new Map<number, number[]>();
  const runs: { length: number; members: number[] }[] = [];
  for (const [index, end] of ends.entries()) {
    const length = Math.min(Math.ceil((end + 1) / TEXT_STEP) * TEXT_STEP, contextLength);
    const members = open.get(length);
    if (members !== undefined && members.length < TEXT_BATCH) {
      members.push(index);
      continue;
    }
    const started = [index];
    open.set(length, started);
    runs.push({ length, members: started });
  }
  return runs;
}

/** The index of the first maximum of a row of ids. */
export function firstMaximum(row: Int32Array): number {
  let end = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[end]) end = i;
  return end;
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
export function unitRows(rows: Float32Array, dim: number): Float32Array {
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
