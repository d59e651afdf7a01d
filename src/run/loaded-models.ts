import { measureTowers, type TowerRates } from '../clip/warm-up.ts';
import type { ScoreModel } from '../score/shard.ts';
import type { OnEvent } from './events.ts';
import type { WantedModel } from './score-job.ts';

/** A model as it was run: on what, and how fast when it was warm. */
export interface TowerRun extends TowerRates {
  slug: string;
  precision: string;
  device: string;
}

/**
 * Loads each model once, when the first shard needs it: a run that finds everything done loads none. `copy` says which
 * of the run's devices it is for. `now` is in milliseconds.
 */
export class LoadedModels {
  readonly #onEvent: OnEvent;
  readonly #copy: number;
  readonly #now: () => number;
  readonly #loaded = new Map<string, ScoreModel>();
  readonly runs: TowerRun[] = [];

  constructor(onEvent: OnEvent, now: () => number, copy = 0) {
    this.#onEvent = onEvent;
    this.#now = now;
    this.#copy = copy;
  }

  async get(wanted: readonly WantedModel[]): Promise<ScoreModel[]> {
    const models: ScoreModel[] = [];
    for (const want of wanted) {
      let model = this.#loaded.get(want.slug);
      if (model === undefined) {
        model = await want.load(this.#copy);
        this.#loaded.set(want.slug, model);
        await this.#measure(want, model);
      }
      models.push(model);
    }
    return models;
  }

  async #measure({ slug, devices }: WantedModel, { clip }: ScoreModel): Promise<void> {
    const { precision, provider } = clip;
    const device = devices?.[this.#copy] ?? provider;
    const rates = await measureTowers(clip, this.#now);
    this.runs.push({ slug, precision, device, ...rates });
    const { pictures_per_second: pictures, captions_per_second: captions } = rates;
    const text = `${precision} on ${device}; warm, ${pictures} pictures/s and ${captions} captions/s`;
    this.#onEvent({ type: 'model', slug, text });
  }

  async release(): Promise<void> {
    await Promise.all([...this.#loaded.values()].map(({ clip }) => clip.release()));
  }
}
