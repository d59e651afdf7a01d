/** What a picture is, from its bytes: format by content as Pillow decides it, never by a file name. */

import { SampleError } from '../errors.ts';
import { readGifHeader } from './gif.ts';
import { readJpegHeader } from './jpeg.ts';
import { readPngHeader } from './png.ts';
import { has, undecodable } from './reader.ts';
import { type ImageFormat, type ImageHeader, MAX_IMAGE_PIXELS } from './types.ts';
import { readWebpHeader } from './webp.ts';

/** The format that the first bytes announce, or undefined. */
export function sniffFormat(bytes: Uint8Array): ImageFormat | undefined {
  if (has(bytes, 0, '\xff\xd8\xff')) return 'jpeg';
  if (has(bytes, 0, '\x89PNG\r\n\x1a\n')) return 'png';
  if (has(bytes, 0, 'GIF87a') || has(bytes, 0, 'GIF89a')) return 'gif';
  if (has(bytes, 0, 'RIFF') && has(bytes, 8, 'WEBP') && WEBP_KINDS.some((kind) => has(bytes, 12, kind)))
    return 'webp';
  return undefined;
}

const WEBP_KINDS = ['VP8 ', 'VP8L', 'VP8X'];

const READERS: Record<ImageFormat, (bytes: Uint8Array) => ImageHeader> = {
  jpeg: readJpegHeader,
  png: readPngHeader,
  gif: readGifHeader,
  webp: readWebpHeader,
};

/**
 * Reads a picture's header, without decoding. Throws `SampleError`: `undecodable_image` where the bytes are
 * none of JPEG, PNG, WebP, GIF or Pillow would refuse the header, `image_too_large` above `MAX_IMAGE_PIXELS`.
 */
export function sniff(bytes: Uint8Array): ImageHeader {
  const format = sniffFormat(bytes);
  if (!format) {
    throw undecodable(
      bytes.length === 0 ? 'the picture is empty' : 'the picture is no JPEG, PNG, WebP or GIF',
    );
  }
  const header = READERS[format](bytes);
  const pixels = header.width * header.height;
  if (pixels > MAX_IMAGE_PIXELS) {
    throw new SampleError(
      'image_too_large',
      `the picture has ${header.width}×${header.height} = ${pixels} pixels, more than ${MAX_IMAGE_PIXELS}`,
    );
  }
  return header;
}
