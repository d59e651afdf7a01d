import sharp from 'sharp';
import { messageOf, SampleError } from '../../src/errors.ts';
import { blurBoxes } from '../../src/image/blur.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { Boxes } from '../../src/subset/faces.ts';
import { createDecoder } from './decoder.ts';

/** DataComp's resharder encodes so; in its code a quality of 100 is still lossy WebP. */
const QUALITY = 100;

/** libwebp's own default effort, which OpenCV's encoder keeps. */
const EFFORT = 4;

/**
 * A function that decodes a picture as scoring does (no EXIF rotation, no ICC), blurs the boxes and encodes WebP.
 * @param quality 1 to 100.
 */
export function createBlur(quality = QUALITY): (picture: Uint8Array, boxes: Boxes) => Promise<Uint8Array> {
  const decoder = createDecoder();
  return async (picture, boxes) => {
    const { width, height, data } = blurBoxes(await decoder.decode(picture, sniff(picture)), boxes);
    try {
      const raw = { width, height, channels: 3 } as const;
      return new Uint8Array(await sharp(data, { raw }).webp({ quality, effort: EFFORT }).toBuffer());
    } catch (cause) {
      // WebP ends at 16,383 pixels a side.
      throw new SampleError('image_too_large', `the blurred picture cannot be encoded: ${messageOf(cause)}`, {
        cause,
      });
    }
  };
}
