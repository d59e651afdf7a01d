/**
 * What a scored shard is in memory: rows in the order of the shard, and column groups beside them.
 * One metadata shard is one table; nothing in it depends on any other shard.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** What is known of a sample without any model. Column names are DataComp's. */
export interface Row {
  /** 32 lower-case hex digits. */
  uid: string;
  key: string;
  url: string | null;
  /** The caption as it lies in the shard, not cleaned. */
  text: string;
  /** Pixels, before any resizing: the JSON's when it says so, else the picture's. */
  original_width: number;
  original_height: number;
  /** Of the downloaded bytes, as img2dataset wrote it; not of the member. */
  sha256: string | null;
  /** `[x0, y0, x1, y1]` a face, relative to the picture (DataComp). */
  face_bboxes: number[][] | null;
  /** Columns asked for by `--carry json:FIELD`, by field. */
  carried: { [field: string]: Json };
}

/** One model's columns: `clip_<slug>_similarity_score`, and `<slug>_img`, `<slug>_txt` in the npz. */
export interface ClipColumns {
  slug: string;
  dim: number;
  /** Cosine of the two unit embeddings, float32, `[rows]`. */
  scores: Float32Array;
  /** Unit embeddings, row-major `[rows, dim]`, float32 (stored as float16); absent with `--no-embeddings`. */
  image?: Float32Array;
  text?: Float32Array;
}

export interface ShardTable {
  rows: Row[];
  clips: ClipColumns[];
}

/** A sample that was seen and not scored; one line of `<shard>_skipped.jsonl`. */
export interface Skipped {
  key: string;
  uid?: string;
  /** `filtered` where a filter dropped it before it was scored. */
  reason: string;
  /** By what it is counted among the filtered. */
  filter?: string;
  detail: string;
}

/** The reason of samples that could have been scored. */
export const FILTERED = 'filtered';
