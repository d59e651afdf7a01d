import { basename, dirname } from 'node:path';
import { writeMatrix } from '../../src/embeddings/arrays.ts';
import { chooseSlug, openPoolEmbeddings } from '../../src/embeddings/files.ts';
import { ITERATIONS, type KMeansOptions, kMeans } from '../../src/embeddings/kmeans.ts';
import { gateNotes } from '../../src/metadata/folder.ts';
import { openFolder } from '../io/folder.ts';

export interface CentroidsOptions
  extends Pick<
    KMeansOptions,
    'k' | 'method' | 'iterations' | 'seed' | 'sample' | 'spherical' | 'maxPointsPerCentroid' | 'signal'
  > {
  /** One or more metadata folders with embeddings: Shardsieve's, DataComp's, dataset2metadata's. */
  metadata: string | readonly string[];
  /** The model whose image embeddings are clustered. Default: the only one there is. */
  slug?: string;
  /** The `.npy` to write: float32 `[k, dim]`. */
  out: string;
  /** Threads of the products; default all cores. */
  threads?: number;
  /** Execution provider of the products: `cpu` (default), `webgpu`. */
  device?: string;
  onProgress?: (progress: { step: string; share: number }) => void;
}

export interface CentroidsTotals {
  slug: string;
  k: number;
  dim: number;
  /** Rows trained on, and rows passed over because their embedding has no direction. */
  rows: number;
  unjudged: number;
  /** Of the last pass: the sum of squared distances, or of cosines with `spherical`. */
  objective: number;
  iterations: number;
  /** Empty clusters that were given half of another, in all passes. */
  split: number;
  out: string;
  notes: string[];
}

/**
 * Trains centroids for `image_based` (or, `spherical`, for near-duplicates) on the image embeddings of metadata.
 * Throws `UsageError`, `MetadataError`, `ModelError`, `OutputError`, `CancelledError`.
 */
export async function trainCentroids(options: CentroidsOptions): Promise<CentroidsTotals> {
  const { metadata, out, threads, device, onProgress, method = 'lloyd' } = options;
  const folders = (typeof metadata === 'string' ? [metadata] : metadata).map((path) =>
    openFolder(path, { readOnly: true }),
  );
  const slug = options.slug ?? (await chooseSlug(folders));
  const { files, notes } = await openPoolEmbeddings(folders, slug);
  // The runtime is loaded by what multiplies, not by every command.
  const { nodeMatmul } = await import('../onnx/matmul.ts');
  const matmul = nodeMatmul({ threads, device });
  const passes = options.iterations ?? ITERATIONS[method];
  let iterations = 0;
  let split = 0;
  try {
    const trained = await kMeans(files, {
      ...options,
      matmul,
      onProgress: (done, total) => {
        onProgress?.({
          step: `k-means, pass ${Math.min(iterations + 1, passes)} of ${passes}`,
          share: done / total,
        });
      },
      onIteration: (report) => {
        iterations = report.iteration;
        split += report.split;
      },
    });
    const { centroids, rows, unjudged, objective } = trained;
    await writeMatrix(openFolder(dirname(out)), basename(out), centroids);
    return {
      slug,
      k: centroids.rows,
      dim: centroids.dim,
      rows,
      unjudged,
      objective,
      iterations,
      split,
      out,
      notes: [...notes, ...(await gateNotes(folders))],
    };
  } finally {
    await matmul.release();
  }
}
