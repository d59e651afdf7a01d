/**
 * The decoder of the command line: JPEG and WebP through sharp (libvips), PNG and GIF through the image
 * room's own readers over Node's zlib, because only they refuse and accept what Pillow does.
 */

import sharp from 'sharp';
import { CancelledError, messageOf, SampleError } from '../../src/errors.ts';
import { cmykToRgb, toRgb } from '../../src/image/colour.ts';
import { reducedSize } from '../../src/image/fast-decode.ts';
import { decodeGif } from '../../src/image/gif-pixels.ts';
import { checkJpegTail } from '../../src/image/jpeg-tail.ts';
import { decodePng } from '../../src/image/png-pixels.ts';
import type {
  DecodeOptions,
  ImageDecoder,
  ImageHeader,
  JpegHeader,
  Pixels,
  RawPixels,
  WebpHeader,
} from '../../src/image/types.ts';
import { MAX_IMAGE_PIXELS } from '../../src/image/types.ts';
import { toVisual } from '../../src/image/visual.ts';
import { placeFrame, singleFrame } from '../../src/image/webp-frame.ts';
import { inflate } from './inflate.ts';
import { useQuickResize } from './resize.ts';

/** Once a thread. Pictures differ, so sharp's cache only costs memory; several pictures at once beat several threads on one. */
function settle(): void {
  sharp.cache(false);
  sharp.concurrency(1);
  useQuickResize();
}

export interface DecoderOptions {
  /** Large JPEGs are decoded reduced, with at least this many pixels on the shorter side; see `fast-decode.ts`. */
  fastDecode?: number;
}

/** Threads of libuv, in which sharp and zlib work: as many as Node starts. */
const LANES = Number(process.env['UV_THREADPOOL_SIZE']) || 4;

/** A decoder for Node. Safe to call for many pictures at once. */
export function createDecoder({ fastDecode }: DecoderOptions = {}): ImageDecoder {
  settle();
  const reduced = fastDecode === undefined ? '' : `, large JPEGs reduced to ${fastDecode} px and more`;
  return {
    lanes: LANES,
    name: `sharp ${sharp.versions['sharp'] ?? '?'} (vips ${sharp.versions.vips})${reduced}`,
    async decode(bytes: Uint8Array, header: ImageHeader, options: DecodeOptions = {}): Promise<Pixels> {
      const visual = options.fit === 'visual';
      if (options.signal?.aborted) throw new CancelledError();
      const size = fastDecode === undefined ? undefined : reducedSize(header, fastDecode);
      let raw: RawPixels;
      try {
        raw = await decodeRaw(bytes, header, visual, size);
      } catch (error) {
        if (error instanceof SampleError) throw error;
        throw new SampleError(
          'undecodable_image',
          `the ${header.format} cannot be decoded: ${messageOf(error)}`,
          {
            cause: error,
          },
        );
      }
      checkSize(raw, size ?? header);
      const { width, height, data } = visual ? toVisual(raw, header.orientation) : raw;
      if (!size) return { width, height, data };
      // The four orientations that lie on their side.
      const isTurned = visual && (header.orientation ?? 1) >= 5;
      const original = isTurned
        ? { width: header.height, height: header.width }
        : { width: header.width, height: header.height };
      return { width, height, data, original };
    },
  };
}

type Size = Pick<ImageHeader, 'width' | 'height'>;

function decodeRaw(
  bytes: Uint8Array,
  header: ImageHeader,
  wantAlpha: boolean,
  size: Size | undefined,
): Promise<RawPixels> | RawPixels {
  switch (header.format) {
    case 'png':
      return decodePng(bytes, header, inflate, wantAlpha);
    case 'gif':
      return decodeGif(bytes, header, wantAlpha);
    case 'jpeg':
      return decodeJpeg(bytes, header, size);
    case 'webp':
      return decodeWebp(bytes, header);
  }
}

/**
 * `error` also stops where libjpeg asks for more than the file holds, which is where Pillow gives up too.
 * `unlimited` because libvips's own limits on scans and warnings are not Pillow's; ours is `checkScans`.
 */
const SHARP_OPTIONS = {
  unlimited: true,
  failOn: 'error',
  ignoreIcc: true,
  limitInputPixels: MAX_IMAGE_PIXELS,
} as const;

/** Scans of the largest picture that we are ready to wait for; every scan passes over all of it. */
const MAX_SCANS_OF_LARGEST = 20;

function checkScans(bytes: Uint8Array, header: JpegHeader): void {
  let scans = 0;
  for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1))
    if (bytes[at + 1] === 0xda) scans++;
  if (scans * header.width * header.height <= MAX_SCANS_OF_LARGEST * MAX_IMAGE_PIXELS) return;
  throw new SampleError(
    'image_too_large',
    `the JPEG has ${scans} scans of ${header.width}×${header.height} pixels, which would take too long`,
  );
}

async function decodeJpeg(bytes: Uint8Array, header: JpegHeader, size: Size | undefined): Promise<RawPixels> {
  checkJpegTail(bytes, header);
  checkScans(bytes, header);
  const image = sharp(bytes, SHARP_OPTIONS);
  // Reduced in libjpeg's transform as far as that goes, the rest by libvips.
  if (size) image.resize({ ...size, fit: 'fill', kernel: 'lanczos3' });
  // Only so does sharp leave the four inks as they are.
  if (header.components === 4) image.pipelineColourspace('cmyk').toColourspace('cmyk');
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  return header.components === 4
    ? cmykToRgb(data, info.width, info.height)
    : toRgb(data, info.width, info.height, info.channels);
}

async function decodeWebp(bytes: Uint8Array, header: WebpHeader): Promise<RawPixels> {
  const { data, info } = await sharp(singleFrame(bytes, header), SHARP_OPTIONS)
    .raw()
    .toBuffer({ resolveWithObject: true });
  return placeFrame(toRgb(data, info.width, info.height, info.channels), header);
}

function checkSize(raw: RawPixels, wanted: Size): void {
  if (raw.width === wanted.width && raw.height === wanted.height) return;
  throw new SampleError(
    'undecodable_image',
    `the picture decodes to ${raw.width}×${raw.height}, by its header it is ${wanted.width}×${wanted.height}`,
  );
}
