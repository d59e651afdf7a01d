/** Scoring single samples of shards again, into the metadata that holds them already. */
import { CancelledError, ShardError, UsageError } from '../errors.ts';
import type { Fit, ImageDecoder } from '../image/types.ts';
import type { Folder, SourceIdentity } from '../io/bytes.ts';
import type { Gunzip } from '../io/gunzip.ts';
import { openRefinable, type RefinableShard, writeRefined } from '../metadata/refined.ts';
import { sameInput } from '../metadata/stats.ts';
import { type ScoredShard, type ScoreModel, scoreShard } from '../score/shard.ts';
import type { PairOptions } from '../webdataset/pair.ts';
import type { OnEvent } from './events.ts';
import type { Hasher, NamedSource, WantedModel } from './score-job.ts';

export interface RescoreJob {
  folder: Folder;
  /** The tars of the folder's shards. */
  sources: readonly NamedSource[];
  /** Of the scores that are to be refined. */
  slug: string;
  /** The same model in fp32. */
  fine: WantedModel;
  decoder: ImageDecoder;
  gunzip?: Gunzip;
  fit: Fit;
  pair: Omit<PairOptions, 'shardBase'>;
  hasher(): Hasher;
  onEvent: OnEvent;
  signal?: AbortSignal;
}

/** Holds the model from the first row that needs it on. */
export class Rescorer {
  /** Computed so far. */
  rows = 0;
  readonly #job: RescoreJob;
  readonly #sources: ReadonlyMap<string, NamedSource>;
  #model: ScoreModel | undefined;

  constructor(job: RescoreJob) {
    this.#job = job;
    this.#sources = new Map(job.sources.map((source) => [source.shard, source]));
  }

  /** Tells what comes. Throws `UsageError` where the tar of a shard is not at hand. */
  async announce(work: readonly { shard: string; rows: Uint32Array }[]): Promise<void> {
    if (work.length === 0) return;
    const { onEvent } = this.#job;
    let bytes: number | undefined = 0;
    let rows = 0;
    for (const { shard, rows: places } of work) {
      const { size } = await this.#sourceOf(shard).source.identity();
      bytes = size === undefined || bytes === undefined ? undefined : bytes + size;
      rows += places.length;
    }
    const shards = work.length;
    onEvent({ type: 'note', text: `${rows} samples of ${shards} shards are scored again in fp32` });
    onEvent({ type: 'plan', shards, pending: shards, reused: 0, bytes });
  }

  /** fp32's scores of some rows of a shard (places, ascending), which are then in the metadata too. */
  async rescore(shard: string, rows: Uint32Array): Promise<Float32Array> {
    const { folder, slug, decoder, gunzip, fit, pair, signal, onEvent } = this.#job;
    if (signal?.aborted) throw new CancelledError();
    const there = await openRefinable(folder, shard, slug);
    const model = await this.#load();
    const { source } = this.#sourceOf(shard);
    const identity = await source.identity();
    if (!sameInput(there.stats.input, identity)) throw changed(shard);
    const hash = this.#job.hasher();
    const keys = new Set(Array.from(rows, (row) => there.keys[row]));
    const scored = await scoreShard(source, {
      ...{ shard, models: [model], embeddings: there.embedded },
      ...{ decoder, gunzip, fit, pair, signal },
      draw: (key) => keys.has(key),
      onSample: (outcome, position) => onEvent({ type: 'sample', outcome, position }),
      onBytes: (bytes) => hash.update(bytes),
    });
    const sha256 = scored.readToEnd ? hash.digest() : undefined;
    checkSame(shard, there, rows, scored, sha256);
    const { scores, dim, image, text } = scored.table.clips[0];
    await writeRefined(folder, shard, slug, { rows, scores, dim, image, text });
    this.rows += rows.length;
    onEvent({ type: 'shard', shard, bytes: identity.size, state: 'done' });
    return scores;
  }

  async release(): Promise<void> {
    await this.#model?.clip.release();
  }

  async #load(): Promise<ScoreModel> {
    if (this.#model === undefined) {
      const { fine, slug, onEvent } = this.#job;
      this.#model = await fine.load();
      const { precision, provider } = this.#model.clip;
      onEvent({ type: 'model', slug, text: `${precision} on ${provider}, to refine` });
    }
    return this.#model;
  }

  #sourceOf(shard: string): NamedSource {
    const source = this.#sources.get(shard);
    if (source !== undefined) return source;
    throw new UsageError(
      'the metadata holds a shard that this run was not given, and refining has to read it',
      {
        shard,
        hint: 'Give all shards of the folder, or write to another --out',
      },
    );
  }
}

/** Whether the samples that were scored are those of the rows. Throws `ShardError`. */
function checkSame(
  shard: string,
  { stats, uids }: RefinableShard,
  rows: Uint32Array,
  { table }: ScoredShard,
  sha256: SourceIdentity['sha256'],
): void {
  const other = stats.input.sha256 !== undefined && sha256 !== undefined && stats.input.sha256 !== sha256;
  const isSame = table.rows.length === rows.length && table.rows.every(({ uid }, i) => uid === uids[rows[i]]);
  if (other || !isSame) throw changed(shard);
}

function changed(shard: string): ShardError {
  return new ShardError('unreadable', 'it is not what it was when it was scored', {
    shard,
    hint: 'Run score again, with --verify-input where its size and time are the same',
  });
}
