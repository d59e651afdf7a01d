/** The towers of a server for Workers whose `TOWERS` is `remote`: the protocol of `functions/towers` under `/towers`. */
import { Hono } from 'hono';
import { TOWERS, TOWERS_PROTOCOL } from '../../functions/towers/protocol.ts';
import { towersApp } from '../../functions/towers/server.ts';
import { VOCABULARY_SIZE } from '../../src/clip/tokenizer/tokenizer.ts';
import type { NodeModel } from './models.ts';

export const TOWERS_PATH = '/towers';

/** Of one request. */
const MAX_PICTURES = 64;
const MAX_TEXTS = 256;
/** Requests at once: what they ask for waits in the model's own queue. */
const BACKLOG = 64;

/** Whoever asks must bring `key`; anybody may where absent. */
export function serveTowers(
  { name, slug, preprocess, fingerprint, clip }: NodeModel,
  options: { key?: string; onError(message: string): void },
): Hono {
  const info = {
    protocol: TOWERS_PROTOCOL,
    towers: [...TOWERS],
    ...{ name, slug, preprocess, fingerprint },
    dim: clip.dim,
    context_length: clip.contextLength,
    vocab_size: VOCABULARY_SIZE,
    image_size: clip.imageSize,
    logit_scale: clip.logitScale,
    precision: clip.precision,
    provider: clip.provider,
    max_pictures: MAX_PICTURES,
    max_texts: MAX_TEXTS,
  } as const;
  const service = { info: { ...info, towers: [...info.towers] }, embedder: async () => clip };
  return new Hono().mount(
    TOWERS_PATH,
    towersApp(async () => service, { ...options, backlog: BACKLOG }).fetch,
  );
}
