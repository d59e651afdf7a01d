import type { Column } from '../metadata/columns.ts';
import type { RunEntry } from '../metadata/run.ts';
import type { PictureJudge } from '../score/judge.ts';

/**
 * What an annotator reads of a row. `text` is the caption's column; `embeddings:<slug>` the array `<slug>_img` of the
 * npz; `column:<name>` a column of numbers that another group made, now or before.
 */
export type Need = 'text' | `embeddings:${string}` | `column:${string}`;

/** A run of rows of one metadata shard. What no annotator needs is not read and not there. */
export interface AnnotateBatch {
  /** Base name of the metadata shard. */
  shard: string;
  /** The parquet, for messages. */
  file: string;
  /** Index of the first row in the shard. */
  start: number;
  rows: number;
  text?: readonly (string | null)[];
  /** By slug: unit image embeddings, rounded to float16 as they are stored. */
  embeddings?: ReadonlyMap<string, BatchEmbeddings>;
  /** By name. */
  numbers?: ReadonlyMap<string, ArrayLike<number | null>>;
}

export interface BatchEmbeddings {
  dim: number;
  /** Row-major `[rows, dim]`. */
  image: Float32Array;
}

interface Group {
  /** `language:fasttext`, `safety:nsfwjs`: the group's name in `_stats.json` and `run.json`. */
  group: string;
  /** Of everything that decides the values. */
  fingerprint: string;
  needs: readonly Need[];
  /** What `run.json` says of the group; its `fingerprint` is the one above. */
  entry: RunEntry;
  /** The columns' names and types, the same for every batch. Any of them may hold nulls. */
  schema: readonly { name: string; type: 'string' | 'int' | 'bool' | 'float' | 'double' }[];
  /** Ends threads and frees models. */
  close?(): Promise<void>;
}

/** Makes one column group from what the metadata holds. */
export interface RowAnnotator extends Group {
  /** The columns of one batch, as in `schema`. A row's values depend on that row alone. */
  columns(batch: AnnotateBatch): Promise<Column[]>;
  /**
   * The groups whose columns it is made of: it is made where all of them are, and again, replacing itself, where one was
   * added.
   */
  of?: readonly string[];
}

/** Makes one column group from the pictures, for which the shards must be at hand. */
export interface PictureAnnotator extends Group {
  pictures: PictureJudge;
}

export type Annotator = RowAnnotator | PictureAnnotator;

/**
 * Pictures of metadata shards, from the tars that they were made from. A metadata shard may cover several tars
 * (DataComp's do), which is why this is asked by rows and not by tar.
 */
export interface PictureSource {
  open(shard: string): Promise<{
    /**
     * For the next rows in order, known by uid; `undefined` where the row's sample is not in the shards. `rows` are the
     * uids of these rows and of others before and behind.
     */
    next(uids: readonly string[], rows: ReadonlySet<string>): Promise<(Uint8Array | undefined)[]>;
    close(): Promise<void>;
  }>;
}

export function needsPictures(annotator: Annotator): annotator is PictureAnnotator {
  return 'pictures' in annotator;
}
