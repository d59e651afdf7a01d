import type { ScoreModel } from '../score/shard.ts';
import type { OnEvent } from './events.ts';
import type { WantedModel } from './score-job.ts';

/** Loads each model once, when the first shard needs it: a run that finds everything done loads none. */
export class LoadedModels {
  readonly #onEvent: OnEvent;
  readonly #loaded = new Map<string, ScoreModel>();

  constructor(onEvent: OnEvent) {
    this.#onEvent = onEvent;
  }

  async get(wanted: readonly WantedModel[]): Promise<ScoreModel[]> {
    const models: ScoreModel[] = [];
    for (const want of wanted) {
      let model = this.#loaded.get(want.slug);
      if (model === undefined) {
        model = await want.load();
        this.#loaded.set(want.slug, model);
        const { clip } = model;
        this.#onEvent({ type: 'model', slug: want.slug, text: `${clip.precision} on ${clip.provider}` });
      }
      models.push(model);
    }
    return models;
  }

  async release(): Promise<void> {
    await Promise.all([...this.#loaded.values()].map(({ clip }) => clip.release()));
  }
}
