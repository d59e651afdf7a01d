import { IMAGE_BATCH } from '../clip/model.ts';
import { CancelledError, SampleError } from '../errors.ts';
import { preprocessBytes } from '../image/preprocess.ts';
import { sniff } from '../image/sniff.ts';
import type { ByteSource } from '../io/bytes.ts';
import type { Float32Matrix } from '../metadata/npz.ts';
import { pictureOf } from '../webdataset/pair.ts';
import type { RawSample } from '../webdataset/samples.ts';
import { Budget, inBatches, mapAhead } from './ahead.ts';
import { DECODED_PIXELS } from './prepare.ts';
import { READ_BYTES, SampleReader, sizeOf } from './read.ts';
import type { ScoreModel, ScoreShardOptions } from './shard.ts';

export interface EmbedPicturesOptions
  extends Pick<ScoreShardOptions, 'shard' | 'decoder' | 'fit' | 'gunzip' | 'signal'> {
  model: Pick<ScoreModel, 'preprocess' | 'clip'>;
  /** A sample whose picture cannot be embedded. */
  onSkip?: (error: SampleError) => void;
}

/**
 * The unit image embeddings of one shard's pictures, in the shard's order, a batch at a time: a target set needs no
 * captions. The pixels and the numbers are those of `scoreShard`. Throws `ShardError` also where the shard ends early,
 * since half a target set would pass for the whole, and `CancelledError`.
 */
export async function* embedPictures(
  source: ByteSource,
  options: EmbedPicturesOptions,
): AsyncGenerator<Float32Matrix, void, undefined> {
  const { model, signal, onSkip } = options;
  const read = new Budget(READ_BYTES);
  const decoded = new Budget(DECODED_PIXELS);
  const reader = new SampleReader(source, options, read);
  const size = model.clip.batch ?? IMAGE_BATCH;
  const ahead = 1 + (model.clip.lanes ?? 1);
  const prepared = mapAhead(reader.samples(), ahead * size, ({ raw }) =>
    toPixels(raw, options, decoded).finally(() => read.give(sizeOf(raw))),
  );
  const usable = async function* () {
    for await (const item of prepared) {
      if (signal?.aborted) throw new CancelledError();
      if (item instanceof SampleError) onSkip?.(item);
      else yield item;
    }
  };
  yield* mapAhead(inBatches(usable(), size), ahead, async (batch) => {
    const data = await model.clip.embedPictures(batch, signal);
    return { rows: batch.length, dim: model.clip.dim, data };
  });
  if (reader.truncated !== undefined) throw reader.truncated;
}

async function toPixels(
  raw: RawSample,
  { model, decoder, fit }: EmbedPicturesOptions,
  budget: Budget,
): Promise<Uint8Array | SampleError> {
  try {
    const bytes = pictureOf(raw);
    const header = sniff(bytes);
    return await budget.use(header.width * header.height, async () =>
      preprocessBytes(await decoder.decode(bytes, header, { fit }), model.preprocess),
    );
  } catch (error) {
    if (error instanceof SampleError) return error;
    throw error;
  }
}
