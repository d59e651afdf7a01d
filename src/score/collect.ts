import { cosine } from '../clip/model.ts';
import type { ClipColumns } from '../metadata/table.ts';
import type { ScoreModel } from './shard.ts';

/**
 * Captions are gathered over this many samples, so that the model can run those of like length together: a text
 * batch costs what its longest caption costs. A constant: the batches of a shard depend on the shard alone.
 */
const TEXT_WINDOW = 256;

/** Turns batches of pictures and tokens into one model's columns, in the order in which they came. */
export class ClipCollector {
  readonly #model: ScoreModel;
  readonly #keep: boolean;
  readonly #scores: Float32Array[] = [];
  readonly #images: Float32Array[] = [];
  readonly #texts: Float32Array[] = [];
  #windowImages: Float32Array[] = [];
  #windowTokens: Int32Array[] = [];

  constructor(model: ScoreModel, keepEmbeddings: boolean) {
    this.#model = model;
    this.#keep = keepEmbeddings;
  }

  /** `pictures`: `S * S * 3` bytes of RGB each; `tokens`: ids from start-of-text to end-of-text. */
  async add(pictures: Uint8Array[], tokens: Int32Array[]): Promise<void> {
    this.#windowImages.push(await this.#model.clip.embedPictures(pictures));
    this.#windowTokens.push(...tokens);
    if (this.#windowTokens.length >= TEXT_WINDOW) await this.#closeWindow();
  }

  async finish(): Promise<ClipColumns> {
    await this.#closeWindow();
    const { slug, clip } = this.#model;
    return {
      slug,
      dim: clip.dim,
      scores: concat(this.#scores),
      ...(this.#keep ? { image: concat(this.#images), text: concat(this.#texts) } : {}),
    };
  }

  async #closeWindow(): Promise<void> {
    const tokens = this.#windowTokens;
    const n = tokens.length;
    if (n === 0) return;
    const { clip } = this.#model;
    const dim = clip.dim;
    const images = concat(this.#windowImages);
    const texts = await clip.embedTexts(tokens);
    this.#scores.push(Float32Array.from({ length: n }, (_, i) => cosine(images, i, texts, i, dim)));
    if (this.#keep) {
      this.#images.push(images);
      this.#texts.push(texts);
    }
    this.#windowImages = [];
    this.#windowTokens = [];
  }
}

function concat(parts: Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
