import type { Column } from '../metadata/columns.ts';
import type { RunEntry } from '../metadata/run.ts';

/**
 * What an annotator reads of a row. `text` is the caption's column; `embeddings:<slug>` the arrays `<slug>_img` and
 * `<slug>_txt` of the npz; `image_bytes` the picture as it lies in its shard, for which the shards must be at hand.
 */
export type Need = 'text' | 'image_bytes' | `embeddings:${string}`;

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
  /** By slug: unit embeddings, row-major `[rows, dim]`. */
  embeddings?: ReadonlyMap<string, BatchEmbeddings>;
  /** `undefined` where the row's sample is not in its shard. */
  imageBytes?: readonly (Uint8Array | undefined)[];
}

export interface BatchEmbeddings {
  dim: number;
  image: Float32Array;
  text: Float32Array;
}

/** Makes one column group. */
export interface Annotator {
  /** `language:fasttext`, `safety:nsfwjs`: the group's name in `_stats.json` and `run.json`. */
  group: string;
  /** Of everything that decides the values. */
  fingerprint: string;
  needs: readonly Need[];
  /** What `run.json` says of the group; its `fingerprint` is the one above. */
  entry: RunEntry;
  /** The columns' names and types, the same for every batch. Any of them may hold nulls. */
  schema: readonly { name: string; type: 'string' | 'int' | 'bool' | 'float' | 'double' }[];
  /** The columns of one batch, as in `schema`. A row's values depend on that row alone. */
  columns(batch: AnnotateBatch): Promise<Column[]>;
  /** Ends threads and frees models. */
  close?(): Promise<void>;
}

/**
 * Pictures of metadata shards, from the tars that they were made from. A metadata shard may cover several tars
 * (DataComp's do), which is why this is asked by rows and not by tar.
 */
export interface PictureSource {
  open(shard: string): Promise<{
    /** For the next rows in order, known by uid. */
    next(uids: readonly string[]): Promise<(Uint8Array | undefined)[]>;
    close(): Promise<void>;
  }>;
}
