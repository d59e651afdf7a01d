/** Small pictures of samples for a page, blurred by default so that nothing in the page can undo it. */
import sharp from 'sharp';
import { SampleError } from '../../src/errors.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { ImageDecoder } from '../../src/image/types.ts';
import type { NamedSource } from '../../src/run/score-job.ts';
import { pictureOf, uidIfKnown } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { createDecoder } from '../decode/decoder.ts';
import { gunzipNode } from '../io/gunzip.ts';

/** Pixels on the longer side of a blurred thumbnail: colours and rough masses, no shapes. */
const BLURRED = 12;
const CLEAR = 256;

export interface ThumbnailOptions {
  shards: readonly NamedSource[];
  uids: ReadonlySet<string>;
  /** As scoring took it (`PairOptions.uid`). */
  uid?: string;
  isClear: boolean;
  signal?: AbortSignal;
}

/**
 * `data:` URIs by uid, read from the shards in their order until all are found. A picture that cannot be decoded is
 * left out. Throws `ShardError` for a shard that cannot be read, and `CancelledError`.
 */
export async function readThumbnails(options: ThumbnailOptions): Promise<Map<string, string>> {
  const { shards, uids, uid, isClear, signal } = options;
  const found = new Map<string, string>();
  const missing = new Set(uids);
  const decoder = createDecoder();
  for (const { source, shard } of shards) {
    if (missing.size === 0) break;
    for await (const sample of readSamples(source.stream({ signal }), {
      shard,
      signal,
      gunzip: gunzipNode,
    })) {
      const own = uidIfKnown(sample, { shardBase: shard, uid });
      if (own === undefined || !missing.delete(own)) continue;
      try {
        found.set(own, await thumbnail(pictureOf(sample), decoder, isClear));
      } catch (error) {
        if (!(error instanceof SampleError)) throw error;
      }
      if (missing.size === 0) break;
    }
  }
  return found;
}

async function thumbnail(bytes: Uint8Array, decoder: ImageDecoder, isClear: boolean): Promise<string> {
  const { width, height, data } = await decoder.decode(bytes, sniff(bytes), { fit: 'visual' });
  const side = isClear ? CLEAR : BLURRED;
  const small = sharp(data, { raw: { width, height, channels: 3 } }).resize(side, side, {
    ...{ fit: 'inside', withoutEnlargement: isClear },
  });
  const [type, made] = isClear
    ? ['webp', await small.webp({ quality: 80 }).toBuffer()]
    : ['png', await small.png().toBuffer()];
  return `data:image/${type};base64,${made.toString('base64')}`;
}
