import { basename, dirname } from 'node:path';
import { writeHalves } from '../../src/embeddings/arrays.ts';
import { MetadataError, ModelError, UsageError } from '../../src/errors.ts';
import { toFloat16 } from '../../src/metadata/float16.ts';
import { inLanes } from '../../src/run/lanes.ts';
import { LoadedModels, type TowerRun } from '../../src/run/loaded-models.ts';
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
  /** What embedded them, and how fast when it was warm. */
  towers: TowerRun[];
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
  const lanes = wanted.devices?.length ?? 1;
  const copies = Array.from(
    { length: lanes },
    (_, lane) =>
      new LoadedModels(
        () => {},
        () => performance.now(),
        lane,
      ),
  );
  const decoder = createDecoder();
  const parts: Uint16Array[][] = sources.map(() => []);
  const skipped: { [reason: string]: number } = {};
  let dim = 0;
  let rows = 0;
  let begun = 0;
  const embed = async (i: number, lane: number, stop: AbortSignal): Promise<void> => {
    const { source, shard } = sources[i];
    const [model] = await copies[lane].get([wanted]);
    dim = model.clip.dim;
    const share = begun++ / sources.length;
    const onSkip = ({ reason }: { reason: string }) => {
      skipped[reason] = (skipped[reason] ?? 0) + 1;
    };
    const reading = { shard, model, decoder, fit, gunzip: gunzipNode, signal: stop, onSkip };
    for await (const matrix of embedPictures(source, reading)) {
      parts[i].push(toFloat16(matrix.data));
      rows += matrix.rows;
      onProgress?.({ step: `embedding, ${rows} pictures`, share });
    }
  };
  try {
    await inLanes(sources.keys(), lanes, embed, signal);
  } finally {
    await Promise.all(copies.map((copy) => copy.release()));
  }
  if (rows === 0) throw new MetadataError('no picture in the shards could be embedded');
  await writeHalves(openFolder(dirname(out)), basename(out), dim, parts.flat());
  const towers = copies.flatMap(({ runs }) => runs);
  return { slug: wanted.slug, model: String(wanted.entry.name), dim, rows, skipped, towers, out };
}
