import { UNASSIGNED } from '../../embeddings/assign.ts';
import { openEmbeddings } from '../../embeddings/files.ts';
import { imageBased, targetCentroids } from '../../embeddings/image-based.ts';
import { kMeans } from '../../embeddings/kmeans.ts';
import type { Matmul } from '../../embeddings/matmul.ts';
import { nearDuplicates } from '../../embeddings/near-duplicates.ts';
import { negClipLoss } from '../../embeddings/negcliploss.ts';
import { normSim } from '../../embeddings/normsim.ts';
import { topFraction } from '../../embeddings/top-fraction.ts';
import type { EmbeddingFile, Float32Matrix, WorkOptions } from '../../embeddings/types.ts';
import { UsageError } from '../../errors.ts';
import { slugOf } from '../../metadata/columns.ts';
import type { SelectEnv } from '../env.ts';
import { RowMask } from '../mask.ts';
import type { Pool } from '../pool.ts';
import { spread } from '../quantiles.ts';
import type { Params } from '../spec.ts';
import type { Found, Given, Judged, PoolFilter } from '../types.ts';

/**
 * Filters by the embeddings beside the parquets. A row whose embedding has no direction (a NaN, an infinity, all
 * zeros) is not judged.
 */

interface Tools {
  slug: string;
  matmul: Matmul;
  files: EmbeddingFile[];
  work: WorkOptions;
}

/** DataComp's `image_based`: the pool's centroid with the largest dot product is one that some target falls to. */
export function imageBasedFilter(params: Params<'image_based'>, pool: Pool, env: SelectEnv): PoolFilter {
  return embeddingFilter(pool, env, params.slug, async ({ slug, files, matmul, work }, { rest }) => {
    const centroids = await centroidsOf(env, params.centroids);
    const ids = await targetCentroids(targetsOf(env, params.targets, slug), centroids, { matmul, ...work });
    const { keep, ids: nearest } = await imageBased(files, centroids, ids, { matmul, only: rest, ...work });
    const found = { centroids: centroids.rows, centroids_of_targets: ids.length };
    return { ...judgedBy(keep, nearest, rest), found };
  });
}

/** negCLIPLoss over each file's random batches of all rows, whatever the filters before left. */
export function negClipLossFilter(params: Params<'negcliploss'>, pool: Pool, env: SelectEnv): PoolFilter {
  const { batch, batches, temperature, seed } = params;
  return embeddingFilter(pool, env, params.slug, async ({ files, matmul, work }, { rest }) => {
    const { scores } = await negClipLoss(files, { matmul, batch, batches, temperature, seed, ...work });
    return byScores('negcliploss', scores, params, rest);
  });
}

/** NormSim of the rows that came in. */
export function normSimFilter(params: Params<'normsim'>, pool: Pool, env: SelectEnv): PoolFilter {
  return embeddingFilter(pool, env, params.slug, async ({ slug, files, matmul, work }, { rest }) => {
    const targets = targetsOf(env, params.targets, slug);
    const { scores } = await normSim(files, targets, { matmul, p: params.p, only: rest, ...work });
    return byScores(`normsim_${params.p}`, scores, params, rest);
  });
}

/** SemDeDup among the rows that came in. Without centroids, spherical k-means over the same rows makes them. */
export function nearDuplicatesFilter(
  params: Params<'near_duplicates'>,
  pool: Pool,
  env: SelectEnv,
): PoolFilter {
  const { clusters, epsilon, keep: which, seed } = params;
  return embeddingFilter(pool, env, params.slug, async ({ files, matmul, work }, { rest, onProgress }) => {
    const only = rest;
    // Training is by far the longer half.
    const part = (from: number, size: number) => ({
      ...work,
      onProgress: (done: number, total: number) => onProgress?.(from + (size * done) / total),
    });
    const centroids =
      clusters === undefined
        ? await centroidsOf(env, params.centroids!)
        : (await kMeans(files, { matmul, k: clusters, spherical: true, seed, only, ...part(0, 0.8) }))
            .centroids;
    const answer = await nearDuplicates(files, {
      matmul,
      centroids,
      epsilon,
      keep: which,
      only,
      ...part(0.8, 0.2),
    });
    const { keep, ids, duplicates, largestCluster } = answer;
    const found = { clusters: centroids.rows, duplicates, largest_cluster: largestCluster };
    return { ...judgedBy(keep, ids, rest), found };
  });
}

function embeddingFilter(
  pool: Pool,
  env: SelectEnv,
  asked: string | undefined,
  judge: (tools: Tools, given: Given) => Promise<Judged>,
): PoolFilter {
  if (env.matmul === undefined) throw new UsageError('filters by embeddings need a runtime for products');
  const slug = asked ?? onlySlug(pool);
  return {
    kind: 'pool',
    async judge(pool, given) {
      const files: EmbeddingFile[] = [];
      for (const { folder, shard, rows } of pool.files)
        files.push(await openEmbeddings(folder, shard, slug, rows));
      const work: WorkOptions = {
        signal: given.signal,
        onProgress: (done, total) => given.onProgress?.(done / total),
      };
      return judge({ slug, matmul: await env.matmul!(), files, work }, given);
    },
  };
}

/** The model whose score is the only one there is. */
function onlySlug(pool: Pool): string {
  const slugs = pool.columns().flatMap((column) => slugOf(column) ?? []);
  if (slugs.length === 1) return slugs[0];
  throw new UsageError('say by which model’s embeddings: slug', {
    hint: slugs.length === 0 ? 'There is no score column' : `There are ${slugs.join(', ')}`,
  });
}

/** Rows kept by a threshold, or by an exact fraction among the rows that came in. */
function byScores(
  name: string,
  scores: Float32Array<ArrayBufferLike>,
  params: { threshold?: number; fraction?: number; of: 'pool' | 'rest' },
  rest: RowMask,
): Judged {
  const keep = new RowMask(scores.length);
  const unjudged = new RowMask(scores.length);
  const { threshold, fraction, of } = params;
  const top = fraction === undefined ? undefined : topFraction(scores, fraction, { among: rest, of });
  const least = Math.fround(threshold ?? 0);
  for (let row = 0; row < scores.length; row++) {
    if (Number.isNaN(scores[row])) unjudged.set(row);
    else if (top ? top.keep[row] === 1 : scores[row] >= least) keep.set(row);
  }
  const found: Found = {
    column: name,
    threshold: top ? top.threshold : threshold,
    spread: spread(name, [scores]),
  };
  if (top && top.tiesDropped > 0) found['ties_dropped'] = top.tiesDropped;
  return { keep, unjudged, found };
}

/** A verdict from flags a row; of the rows that came in, those that could not be assigned are not judged. */
function judgedBy(flags: Uint8Array, ids: Int32Array, rest: RowMask): Judged {
  const keep = new RowMask(flags.length);
  const unjudged = new RowMask(flags.length);
  for (let row = 0; row < flags.length; row++) {
    if (flags[row] === 1) keep.set(row);
    else if (ids[row] === UNASSIGNED && rest.get(row)) unjudged.set(row);
  }
  return { keep, unjudged };
}

async function* targetsOf(
  { readTargets }: SelectEnv,
  path: string,
  slug: string,
): AsyncIterable<Float32Matrix> {
  if (readTargets === undefined) throw new UsageError('a target set cannot be read here', { file: path });
  yield* readTargets(path, slug);
}

async function centroidsOf({ readMatrix }: SelectEnv, path: string): Promise<Float32Matrix> {
  if (readMatrix === undefined) throw new UsageError('centroids cannot be read here', { file: path });
  return readMatrix(path);
}
