import { basename, dirname } from 'node:path';
import { writeHalves } from '../../src/embeddings/arrays.ts';
import { MetadataError, ModelError, UsageError } from '../../src/errors.ts';
import { toFloat16 } from '../../src/metadata/float16.ts';
import { embedPictures } from '../../src/score/pictures.ts';
import { createDecoder } from '../decode/decoder.ts';
import { openFolder } from '../io/folder.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { type ModelChoice, wantModels } from './models.ts';
import { openShards, type Shards } from './shards.ts';

export interface EmbedOptions extends Shards, Pick<ModelChoice, 'threads' | 'fit' | 'device'> {
  /** The model, as `score` takes it: the one whose embeddings the pool has. Default as there. */
  model?: string;
  /** Hex; a model with other weights is refused. */
  weightsSha256?: string;
  /** The `.npy` to write: float16 unit embeddings `[n, dim]`, as a metadata file holds them. */
  out: string;
  onProgress?: (progress: { step: string; share: number }) => void;
  /** Notes of the hub. */
  onNote?: (text: string) => void;
  signal?: AbortSignal;
}

export interface EmbedTotals {
  /** The model's name in columns. */
  slug: string;
  model: string;
  dim: number;
  /** Pictures embedded. */
  rows: number;
  /** Samples without a picture that can be embedded, by reason. */
  skipped: { [reason: string]: number };
  out: string;
}

/**
 * Embeds the pictures of shards, captions or not, as a target set for `image_based` and NormSim. Holds 2 bytes a
 * value. Throws `UsageError`, `ShardError` at the first shard that cannot be read to its end, `ModelError`,
 * `DownloadError`, `OutputError`, `CancelledError`; nothing is written then.
 */
export async function embedShards(options: EmbedOptions): Promise<EmbedTotals> {
  const { out, model: spec, threads, fit = 'open_clip', device, signal, onProgress } = options;
  const sources = await openShards(options);
  const models = spec === undefined ? {} : { models: [spec] };
  const [wanted] = await wantModels({ ...models, threads, fit, device }, { signal, onNote: options.onNote });
  if (wanted === undefined) throw new UsageError('name one model to embed with');
  const { weightsSha256 } = options;
  if (weightsSha256 !== undefined && wanted.entry['weights_sha256'] !== weightsSha256) {
    throw new ModelError(`${spec} has other weights than the pool was embedded with`, {
      hint: 'Embed the shards by the pool’s own model: shardsieve embed SHARDS --model MODEL --out targets.npy',
    });
  }
  const model = await wanted.load();
  const decoder = createDecoder();
  const parts: Uint16Array[] = [];
  const skipped: { [reason: string]: number } = {};
  const { dim } = model.clip;
  let rows = 0;
  try {
    for (const [i, { source, shard }] of sources.entries()) {
      const onSkip = ({ reason }: { reason: string }) => {
        skipped[reason] = (skipped[reason] ?? 0) + 1;
      };
      const reading = { shard, model, decoder, fit, gunzip: gunzipNode, signal, onSkip };
      for await (const matrix of embedPictures(source, reading)) {
        parts.push(toFloat16(matrix.data));
        rows += matrix.rows;
        onProgress?.({ step: `embedding, ${rows} pictures`, share: i / sources.length });
      }
    }
  } finally {
    await model.clip.release();
  }
  if (rows === 0) throw new MetadataError('no picture in the shards could be embedded');
  await writeHalves(openFolder(dirname(out)), basename(out), dim, parts);
  return { slug: wanted.slug, model: String(wanted.entry.name), dim, rows, skipped, out };
}
