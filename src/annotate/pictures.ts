/** Columns that are made from the pictures themselves. A picture that is absent or cannot be decoded has nulls. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { SampleError } from '../errors.ts';
import { sniff } from '../image/sniff.ts';
import type { Fit, ImageDecoder, Pixels } from '../image/types.ts';
import type { Column } from '../metadata/columns.ts';
import { NSFWJS_BATCH, type Nsfwjs } from '../safety/nsfwjs/model.ts';
import { MIN_PDQ_QUALITY, type Pdq, pdq } from '../safety/pdq/hash.ts';
import type { AnnotateBatch, Annotator } from './types.ts';

/** How pictures become pixels. */
export interface PictureReading {
  decoder: ImageDecoder;
  fit: Fit;
}

/** NSFWJS's five probabilities, `nsfw_nsfwjs_drawing` and its sisters. */
export function nsfwjsAnnotator(model: Nsfwjs, reading: PictureReading): Annotator {
  const schema = model.labels.map((label) => ({ name: `nsfw_nsfwjs_${label}`, type: 'float' as const }));
  const fingerprint = fingerprintOf(model.fingerprint, reading);
  return {
    group: 'safety:nsfwjs',
    fingerprint,
    needs: ['image_bytes'],
    entry: {
      fingerprint,
      name: 'nsfwjs',
      source: 'npm nsfwjs 4.4.0, MobileNetV2',
      weights_sha256: model.sha256,
      ...describe(reading),
    },
    schema,
    async columns(batch) {
      const values = schema.map(() => new Array<number | null>(batch.rows).fill(null));
      for await (const chunk of chunks(batch, reading)) {
        const found = await model.classify(chunk.map(({ pixels }) => pixels));
        for (const [i, { row }] of chunk.entries()) {
          for (const [k, column] of values.entries()) column[row] = found[i * schema.length + k];
        }
      }
      return schema.map(({ name, type }, k) => ({ name, type, values: values[k] }));
    },
    close: () => model.release(),
  };
}

/**
 * PDQ hashes: `pdq`, null where the quality is below `MIN_PDQ_QUALITY` and nothing should be compared, and
 * `pdq_quality`.
 */
export function pdqAnnotator(reading: PictureReading): Annotator {
  const fingerprint = fingerprintOf('pdq 1', reading);
  return {
    group: 'hash:pdq',
    fingerprint,
    needs: ['image_bytes'],
    entry: { fingerprint, name: 'pdq', min_quality: MIN_PDQ_QUALITY, ...describe(reading) },
    schema: [
      { name: 'pdq', type: 'string' },
      { name: 'pdq_quality', type: 'int' },
    ],
    async columns(batch) {
      const found = new Array<Pdq | undefined>(batch.rows).fill(undefined);
      for await (const chunk of chunks(batch, reading)) {
        for (const { row, pixels } of chunk) found[row] = pdq(pixels);
      }
      const isClear = (one: Pdq | undefined) => one !== undefined && one.quality >= MIN_PDQ_QUALITY;
      const hashes = found.map((one) => (isClear(one) ? (one?.hash ?? null) : null));
      return [
        { name: 'pdq', type: 'string', values: hashes },
        { name: 'pdq_quality', type: 'int', values: found.map((one) => one?.quality ?? null) },
      ];
    },
  };
}

/** `member_sha256`: of the picture's bytes in its shard, which are not the ones that were downloaded. */
export function memberHashAnnotator(): Annotator {
  const fingerprint = fingerprintOf('member_sha256 1');
  return {
    group: 'hash:member_sha256',
    fingerprint,
    needs: ['image_bytes'],
    entry: { fingerprint, name: 'member_sha256' },
    schema: [{ name: 'member_sha256', type: 'string' }],
    async columns({ rows, imageBytes = [] }): Promise<Column[]> {
      const values = Array.from({ length: rows }, (_, row) => {
        const bytes = imageBytes[row];
        return bytes === undefined ? null : bytesToHex(sha256(bytes));
      });
      return [{ name: 'member_sha256', type: 'string', values }];
    },
  };
}

interface Decoded {
  row: number;
  pixels: Pixels;
}

/** The pictures of a batch that can be decoded, a few at a time; the next are decoded while these are looked at. */
async function* chunks(
  { rows, imageBytes = [] }: AnnotateBatch,
  reading: PictureReading,
): AsyncGenerator<Decoded[]> {
  const decode = (start: number): Promise<Decoded[]> => {
    const end = Math.min(start + NSFWJS_BATCH, rows);
    const all = Array.from({ length: end - start }, async (_, i) => {
      const pixels = await pixelsOf(imageBytes[start + i], reading);
      return pixels === undefined ? [] : [{ row: start + i, pixels }];
    });
    const decoded = Promise.all(all).then((list) => list.flat());
    // Awaited in its turn: until then a failure is nobody's.
    decoded.catch(() => {});
    return decoded;
  };
  let next = decode(0);
  for (let start = 0; start < rows; start += NSFWJS_BATCH) {
    const chunk = await next;
    next = decode(Math.min(start + NSFWJS_BATCH, rows));
    yield chunk;
  }
}

async function pixelsOf(
  bytes: Uint8Array | undefined,
  { decoder, fit }: PictureReading,
): Promise<Pixels | undefined> {
  if (bytes === undefined) return undefined;
  try {
    return await decoder.decode(bytes, sniff(bytes), { fit });
  } catch (error) {
    if (error instanceof SampleError) return undefined;
    throw error;
  }
}

function describe({ decoder, fit }: PictureReading): { decoder: string; fit: string } {
  return { decoder: decoder.name, fit };
}

function fingerprintOf(what: string, reading?: PictureReading): string {
  const settings = JSON.stringify([what, reading === undefined ? null : describe(reading)]);
  return bytesToHex(sha256(utf8ToBytes(settings))).slice(0, 32);
}
