import { cosine } from '../clip/model.ts';
import type { ClipColumns } from '../metadata/table.ts';
import type { ScoreModel } from './shard.ts';

/** Turns batches of pictures and tokens into one model's columns, in the order in which they came. */
export class ClipWindow {
  readonly #model: ScoreModel;
  readonly #keep: boolean;
  #images: Float32Array[] = [];
  #tokens: Int32Array[] = [];

  constructor(model: ScoreModel, keepEmbeddings: boolean) {
    this.#model = model;
    this.#keep = keepEmbeddings;
  }

  /** `pictures`: `S * S * 3` bytes of RGB each; `tokens`: ids from start-of-text to end-of-text. */
  async add(pictures: Uint8Array[], tokens: Int32Array[]): Promise<void> {
    this.#images.push(await this.#model.clip.embedPictures(pictures));
    this.#tokens.push(...tokens);
  }

  /** The columns of what was added since the last call. */
  async close(): Promise<ClipColumns> {
    const { slug, clip } = this.#model;
    const dim = clip.dim;
    const image = concat(this.#images);
    const text = this.#tokens.length === 0 ? new Float32Array(0) : await clip.embedTexts(this.#tokens);
    const scores = Float32Array.from({ length: this.#tokens.length }, (_, i) =>
      cosine(image, i, text, i, dim),
    );
    this.#images = [];
    this.#tokens = [];
    return { slug, dim, scores, ...(this.#keep ? { image, text } : {}) };
  }
}

/** One model's columns of a shard from those of its batches. */
export function joinClips(parts: readonly ClipColumns[], { slug, clip }: ScoreModel): ClipColumns {
  const { dim } = clip;
  const scores = concat(parts.map((part) => part.scores));
  const images = parts.flatMap(({ image }) => image ?? []);
  const texts = parts.flatMap(({ text }) => text ?? []);
  const isKept = images.length === parts.length && parts.length > 0;
  return { slug, dim, scores, ...(isKept ? { image: concat(images), text: concat(texts) } : {}) };
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
