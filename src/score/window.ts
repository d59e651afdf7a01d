/** What is made of samples together: their pictures a batch at a time, their captions a window at a time. */
import { cosine } from '../clip/model.ts';
import { CancelledError, type SkipReason } from '../errors.ts';
import type { Column } from '../metadata/columns.ts';
import type { ClipColumns } from '../metadata/table.ts';
import type { ScoredBatch } from './batches.ts';
import { concat } from './collect.ts';
import type { Earlier } from './earlier.ts';
import { type EmbedOnce, fillAll } from './embed-once.ts';
import type { Prepared, Scorable } from './prepare.ts';
import type { SampleReader } from './read.ts';
import type { SampleOutcome, ScoreModel, ScoreShardOptions } from './shard.ts';
import { UNWATCHED, watched } from './stages.ts';

type Placed = Prepared & { position: number };

/** A run of samples, and what the towers and the judges made of those that are ready for them. */
export interface EmbeddedBatch {
  items: readonly Placed[];
  /** By model: unit embeddings of the pictures. */
  images: Float32Array[];
  /** By judge. */
  judged: Column[][];
  /** Pictures among them that were not embedded again. */
  repeats: number;
}

/** Throws `CancelledError`, and what the towers and the judges throw. */
export async function embedBatch(
  items: readonly Placed[],
  { models, judges = [], shard, signal, watch = UNWATCHED }: ScoreShardOptions,
  { images }: Pick<Earlier, 'images'>,
): Promise<EmbeddedBatch> {
  const check = (): void => {
    if (signal?.aborted) throw new CancelledError();
  };
  const ready = readyOf(items);
  const batch: EmbeddedBatch = { items, images: [], judged: [], repeats: 0 };
  check();
  if (ready.length === 0) return batch;
  // For all models before anything is waited for: another batch may be under way.
  const claims = models.map((_, m) => images[m].claim(ready.map(({ same }) => same)));
  batch.images = await fillAll(claims, async (fresh, m) => {
    check();
    const pictures = fresh.map((i) => ready[i].pictures![m]);
    const { slug, clip } = models[m];
    const about = { shard, model: slug, count: pictures.length };
    return watched(watch, 'pictures', about, () => clip.embedPictures(pictures, signal));
  });
  check();
  for (const [j, judge] of judges.entries()) {
    const looks = ready.map((sample) => sample.looks[j]);
    const about = { shard, count: looks.length };
    batch.judged.push(await watched(watch, 'judge', about, () => judge.judge(looks)));
    check();
  }
  // Nobody asks for them again, and the rows stay until the window closes.
  batch.repeats = ready.filter(({ pictures }) => pictures === undefined).length;
  for (const sample of ready) {
    sample.pictures = undefined;
    sample.looks = [];
  }
  return batch;
}

/** Samples in the shard's order whose captions are embedded together. */
export class Window {
  readonly #options: ScoreShardOptions;
  readonly #texts: readonly EmbedOnce[];
  readonly #images: Float32Array[][];
  readonly #tokens: Int32Array[][];
  readonly #batch: ScoredBatch;

  constructor(options: ScoreShardOptions, { texts }: Pick<Earlier, 'texts'>) {
    const { models, judges = [] } = options;
    this.#options = options;
    this.#texts = texts;
    this.#images = models.map(() => []);
    this.#tokens = models.map(() => []);
    this.#batch = {
      rows: [],
      clips: [],
      judged: judges.map(() => []),
      skipped: [],
      repeats: { pictures: 0, captions: 0 },
      passedOver: 0,
      captionsTruncated: Object.fromEntries(models.map(({ slug }) => [slug, 0])),
    };
  }

  /** Rows so far. */
  get size(): number {
    return this.#batch.rows.length;
  }

  /** Skipped lines so far. */
  get skips(): number {
    return this.#batch.skipped.length;
  }

  add({ items, images, judged, repeats }: EmbeddedBatch): void {
    const { models, onSample } = this.#options;
    const { rows, skipped, captionsTruncated } = this.#batch;
    for (const item of items) {
      if ('ready' in item) rows.push(item.ready.row);
      else if ('skip' in item) skipped.push(item.skip);
      else this.#batch.passedOver++;
      onSample?.(outcomeOf(item), item.position);
    }
    this.#batch.repeats.pictures += repeats;
    for (const [j, columns] of judged.entries()) this.#batch.judged[j].push(columns);
    for (const [m, data] of images.entries()) {
      this.#images[m].push(data);
      for (const { tokens, truncated } of readyOf(items)) {
        this.#tokens[m].push(tokens[m]);
        if (truncated[m]) captionsTruncated[models[m].slug]++;
      }
    }
  }

  /** The reader is through, and nothing is added any more. */
  end({ truncated, cut, next, readToEnd, position }: SampleReader): void {
    if (truncated?.where.key !== undefined) {
      const reason: SkipReason = 'truncated';
      this.#batch.skipped.push({ key: truncated.where.key, reason, detail: truncated.message });
      this.#options.onSample?.('skipped', position);
    }
    this.#batch.end = {
      ...{ cut, readToEnd },
      ...(next === undefined ? {} : { next }),
      ...(truncated === undefined ? {} : { truncated }),
    };
  }

  /** Embeds the captions. Throws `CancelledError`, and what the towers throw. */
  async close(): Promise<ScoredBatch> {
    const { models, shard, signal, watch = UNWATCHED } = this.#options;
    // For all models before anything is waited for: the next window may close meanwhile.
    const claims = models.map((_, m) => this.#texts[m].claim(this.#tokens[m].map((ids) => ids.join())));
    // Models that tokenise alike meet the same repeats: those of the first stand for all.
    this.#batch.repeats.captions = claims.length === 0 ? 0 : this.size - claims[0].fresh.length;
    const texts = await fillAll(claims, async (fresh, m) => {
      if (signal?.aborted) throw new CancelledError();
      const tokens = fresh.map((i) => this.#tokens[m][i]);
      const { slug, clip } = models[m];
      const about = { shard, model: slug, count: tokens.length };
      return watched(watch, 'captions', about, () => clip.embedTexts(tokens, signal));
    });
    for (const [m, model] of models.entries()) {
      this.#batch.clips.push(this.#columns(model, concat(this.#images[m]), texts[m]));
    }
    return this.#batch;
  }

  #columns({ slug, clip }: ScoreModel, image: Float32Array, text: Float32Array): ClipColumns {
    const { dim } = clip;
    const scores = Float32Array.from({ length: this.size }, (_, i) => cosine(image, i, text, i, dim));
    return { slug, dim, scores, ...(this.#options.embeddings ? { image, text } : {}) };
  }
}

function outcomeOf(item: Placed): SampleOutcome {
  if ('ready' in item) return 'scored';
  if ('passedOver' in item) return 'passed_over';
  return item.skip.filter === undefined ? 'skipped' : 'filtered';
}

function readyOf(items: readonly Placed[]): Scorable[] {
  return items.flatMap((item) => ('ready' in item ? item.ready : []));
}
