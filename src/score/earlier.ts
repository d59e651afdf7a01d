import { EmbedOnce } from './embed-once.ts';
import { Firsts, REMEMBERED } from './firsts.ts';
import type { ShardGate } from './gate.ts';
import type { ScoreShardOptions } from './shard.ts';

/** What is known of a shard's samples before one: it is gone when the shard is done. */
export interface Earlier {
  gate: ShardGate | undefined;
  pictures: Firsts;
  /** By model: 4 bytes a value of `REMEMBERED` pictures and as many captions. */
  images: EmbedOnce[];
  texts: EmbedOnce[];
}

export function earlierOf({ gate, models }: Pick<ScoreShardOptions, 'gate' | 'models'>): Earlier {
  return {
    gate: gate?.open(),
    pictures: new Firsts(REMEMBERED),
    // Only pictures that `pictures` remembers have a key.
    images: models.map(() => new EmbedOnce()),
    texts: models.map(() => new EmbedOnce(REMEMBERED)),
  };
}
