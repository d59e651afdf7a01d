import type { ClipColumns } from '../metadata/table.ts';
import type { ScoreModel } from './shard.ts';

/** One model's columns of a shard from those of its batches. */
export function joinClips(parts: readonly ClipColumns[], { slug, clip }: ScoreModel): ClipColumns {
  const { dim } = clip;
  const scores = concat(parts.map((part) => part.scores));
  const images = parts.flatMap(({ image }) => image ?? []);
  const texts = parts.flatMap(({ text }) => text ?? []);
  const isKept = images.length === parts.length && parts.length > 0;
  return { slug, dim, scores, ...(isKept ? { image: concat(images), text: concat(texts) } : {}) };
}

export function concat(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
