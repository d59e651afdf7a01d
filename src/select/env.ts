import type { Matmul } from '../embeddings/matmul.ts';
import type { Float32Matrix } from '../embeddings/types.ts';
import type { DetectorName, LanguageDetector } from '../language/types.ts';
import type { Pool } from './pool.ts';
import type { Verdict } from './types.ts';

/**
 * What selecting takes from a platform. A filter that needs something that was not handed in fails with a
 * `UsageError` that says so.
 */
export interface SelectEnv {
  /** SQL predicates (`where`). */
  where?: WhereEngine;
  /** Language of captions, where no column has it. */
  languages?: (by: DetectorName) => Promise<LanguageDetector>;
  /** The bytes of `assets/wordnet`'s table. */
  entities?: () => Promise<Uint8Array>;
  /** Products of matrices, for filters by embeddings. */
  matmul?: () => Promise<Matmul>;
  /** The one matrix of a file: centroids. */
  readMatrix?: (path: string) => Promise<Float32Matrix>;
  /**
   * Matrices of the files that a path names (a glob, names joined by commas), in parts that can be held; or of shards,
   * embedded by the model of the slug.
   */
  readTargets?: (path: string, slug: string) => AsyncIterable<Float32Matrix>;
  /** A file that a filter names: a block-list, centroids. Throws `UsageError` where it cannot be read. */
  readFile?: (path: string) => Promise<Uint8Array>;
}

export interface WhereEngine {
  /**
   * Judges every row by a SQL predicate; where it is NULL, the row is unjudged. Throws `UsageError` at a column
   * that is not there (naming the nearest) or a predicate that is none, `CancelledError` when the signal stops it.
   */
  test(pool: Pool, predicate: string, signal?: AbortSignal): Promise<Verdict>;
}
