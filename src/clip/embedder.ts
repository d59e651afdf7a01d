/**
 * What scoring knows of a model. Whether its towers lie in this process, behind a Worker's binding or on another machine
 * is their own matter; so pictures come as bytes, a quarter of the floats that the tower makes of them.
 */
import { ModelError } from '../errors.ts';
import { normalise } from '../image/preprocess.ts';
import type { PreprocessConfig } from '../image/preprocess-config.ts';
import { type ClipModel, IMAGE_BATCH } from './model.ts';
import type { Precision } from './precision.ts';

export interface Embedder {
  /** Length of an embedding. */
  readonly dim: number;
  /** Tokens a caption may have. */
  readonly contextLength: number;
  /** Side of the pictures, pixels. */
  readonly imageSize: number;
  readonly logitScale: number;
  readonly precision: Precision;
  readonly provider: string;
  /** Calls that it runs at once; one where absent. */
  readonly lanes?: number;
  /** Pictures that a call runs at once; `IMAGE_BATCH` where absent. */
  readonly batch?: number;
  /**
   * Any number of pictures, each 8-bit RGB of `S * S * 3` bytes as `preprocessBytes` gives it; the answer float32
   * `[n, dim]`, rows of unit length. Throws `ModelError`.
   */
  embedPictures(pictures: readonly Uint8Array[], signal?: AbortSignal): Promise<Float32Array>;
  /** As `ClipModel.embedTexts`. */
  embedTexts(ids: readonly Int32Array[], signal?: AbortSignal): Promise<Float32Array>;
  /** Frees what it holds; it cannot be used afterwards. */
  release(): Promise<void>;
}

/** A model in this process, its pictures normalised as `preprocess` says, `batch` of them run at once. */
export function embedderOf(
  clip: ClipModel,
  preprocess: PreprocessConfig,
  batch: number = IMAGE_BATCH,
): Embedder {
  const side = clip.imageSize;
  const bytes = 3 * side * side;
  const { dim, contextLength, logitScale, precision, provider } = clip;
  /** Floats of a run, kept for the next: new memory costs more than filling it. */
  let spare = new Float32Array(0);
  return {
    dim,
    contextLength,
    imageSize: side,
    logitScale,
    precision,
    provider,
    batch,
    async embedPictures(pictures) {
      const wrong = pictures.find((picture) => picture.length !== bytes);
      if (wrong !== undefined) {
        throw new ModelError(`a picture of ${wrong.length} bytes is not [${side}, ${side}, 3]`);
      }
      const out = new Float32Array(pictures.length * dim);
      for (let start = 0; start < pictures.length; start += batch) {
        const run = pictures.slice(start, start + batch);
        const length = run.length * bytes;
        const held = spare.length >= length ? spare : new Float32Array(length);
        // Another call may come meanwhile.
        spare = new Float32Array(0);
        for (const [i, picture] of run.entries()) normalise(picture, preprocess, held, i * bytes);
        out.set(await clip.embedImages(held.subarray(0, length), run.length, batch), start * dim);
        spare = held;
      }
      return out;
    },
    embedTexts: (ids) => clip.embedTexts(ids),
    release: () => clip.release(),
  };
}
