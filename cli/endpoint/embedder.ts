/** The towers of a server, asked through the API as anybody may. */
import sharp from 'sharp';
import type { ModelsAnswer, ShardsieveClient } from '../../functions/client/client.ts';
import type { Embedder } from '../../src/clip/embedder.ts';
import { DownloadError } from '../../src/errors.ts';

/**
 * Pictures go as PNGs of the model's own size, which the server's preprocess leaves as they are: the same bytes arrive at
 * the tower.
 */
export function endpointEmbedder(
  client: ShardsieveClient,
  model: ModelsAnswer['models'][number],
  limits: ModelsAnswer['limits'],
): Embedder {
  const { dim, image_size: side } = model;
  const { name } = model;
  const rows = (count: number, answers: readonly { embedding: unknown }[]): Float32Array => {
    const out = new Float32Array(count * dim);
    for (const [i, { embedding }] of answers.entries()) out.set(floats(embedding, dim, client), i * dim);
    return out;
  };
  return {
    dim,
    contextLength: model.context_length,
    imageSize: side,
    logitScale: model.logit_scale,
    precision: model.precision,
    provider: model.provider,
    async embedPictures(pictures, signal) {
      const out = new Float32Array(pictures.length * dim);
      const most = limits['images'] ?? 1;
      for (let start = 0; start < pictures.length; start += most) {
        const part = pictures.slice(start, start + most);
        const files = await Promise.all(part.map((picture) => toPng(picture, side)));
        const { images } = await client.embed(files, { model: name, embeddings: 'base64', signal });
        out.set(rows(part.length, images), start * dim);
      }
      return out;
    },
    async embedTexts(ids, signal) {
      const out = new Float32Array(ids.length * dim);
      const most = limits['pairs'] ?? 1;
      for (let start = 0; start < ids.length; start += most) {
        const part = ids.slice(start, start + most).map((row) => [...row]);
        const { tokens } = await client.embed([], {
          model: name,
          tokens: part,
          embeddings: 'base64',
          signal,
        });
        out.set(rows(part.length, tokens), start * dim);
      }
      return out;
    },
    release: async () => {},
  };
}

async function toPng(picture: Uint8Array, side: number): Promise<Uint8Array<ArrayBuffer>> {
  const raw = { width: side, height: side, channels: 3 } as const;
  // The line, not the disk: little time for what it saves.
  return new Uint8Array(await sharp(picture, { raw }).png({ compressionLevel: 1 }).toBuffer());
}

/** Throws `DownloadError` for anything but base64 of `dim` float32, little-endian. */
function floats(embedding: unknown, dim: number, { endpoint }: ShardsieveClient): Float32Array {
  const bytes = typeof embedding === 'string' ? Buffer.from(embedding, 'base64') : undefined;
  if (bytes?.length !== 4 * dim) {
    throw new DownloadError(`the server's answer holds no embedding of ${dim} numbers`, { url: endpoint });
  }
  return Float32Array.from({ length: dim }, (_, i) => bytes.readFloatLE(4 * i));
}
