/** What is made of samples together: their pictures a batch at a time, their captions a window at a time. */
import { cosine } from '../clip/model.ts';
import { CancelledError, type SkipReason } from '../errors.ts';
import type { Column } from '../metadata/columns.ts';
import type { ClipColumns } from '../metadata/table.ts';
import type { ScoredBatch } from './batches.ts';
import { concat } from './collect.ts';
import type { Prepared, Scorable } from './prepare.ts';
import type { SampleReader } from './read.ts';
import type { ScoreModel, ScoreShardOptions } from './shard.ts';

type Placed = Prepared & { position: number };

/** A run of samples, and what the towers and the judges made of those that are ready for them. */
export interface EmbeddedBatch {
  items: readonly Placed[];
  /** By model: unit embeddings of the pictures. */
  images: Float32Array[];
  /** By judge. */
  judged: Column[][];
}

/** Throws `CancelledError`, and what the towers and the judges throw. */
export async function embedBatch(
  items: readonly Placed[],
  { models, judges = [], signal }: ScoreShardOptions,
): Promise<EmbeddedBatch> {
  const check = (): void => {
    if (signal?.aborted) throw new CancelledError();
  };
  const ready = readyOf(items);
  const batch: EmbeddedBatch = { items, images: [], judged: [] };
  check();
  if (ready.length === 0) return batch;
  for (const [m, { clip }] of models.entries()) {
    const pictures = ready.map((sample) => sample.pictures[m]);
    batch.images.push(await clip.embedPictures(pictures, signal));
    check();
  }
  for (const [j, judge] of judges.entries()) {
    batch.judged.push(await judge.judge(ready.map(({ looks }) => looks[j])));
    check();
  }
  // Nobody asks for them again, and the rows stay until the window closes.
  for (const sample of ready) {
    sample.pictures = [];
    sample.looks = [];
  }
  return batch;
}

/** Samples in the shard's order whose captions are embedded together. */
export class Window {
  readonly #options: ScoreShardOptions;
  readonly #images: Float32Array[][];
  readonly #tokens: Int32Array[][];
  readonly #batch: ScoredBatch;

  constructor(options: ScoreShardOptions) {
    const { models, judges = [] } = options;
    this.#options = options;
    this.#images = models.map(() => []);
    this.#tokens = models.map(() => []);
    this.#batch = {
      rows: [],
      clips: [],
      judged: judges.map(() => []),
      skipped: [],
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

  add({ items, images, judged }: EmbeddedBatch): void {
    const { models, onSample } = this.#options;
    const { rows, skipped, captionsTruncated } = this.#batch;
    for (const item of items) {
      if ('ready' in item) rows.push(item.ready.row);
      else if ('skip' in item) skipped.push(item.skip);
      else this.#batch.passedOver++;
      onSample?.('ready' in item ? 'scored' : 'skip' in item ? 'skipped' : 'passed_over', item.position);
    }
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
    const { models, signal } = this.#options;
    for (const [m, model] of models.entries()) {
      if (signal?.aborted) throw new CancelledError();
      this.#batch.clips.push(await this.#columns(model, concat(this.#images[m]), this.#tokens[m]));
    }
    return this.#batch;
  }

  async #columns(
    { slug, clip }: ScoreModel,
    image: Float32Array,
    tokens: Int32Array[],
  ): Promise<ClipColumns> {
    const { embeddings, signal } = this.#options;
    const { dim } = clip;
    const text = tokens.length === 0 ? new Float32Array(0) : await clip.embedTexts(tokens, signal);
    const scores = Float32Array.from({ length: tokens.length }, (_, i) => cosine(image, i, text, i, dim));
    return { slug, dim, scores, ...(embeddings ? { image, text } : {}) };
  }
}

function readyOf(items: readonly Placed[]): Scorable[] {
  return items.flatMap((item) => ('ready' in item ? item.ready : []));
}
