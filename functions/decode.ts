/**
 * The decoder at the edge: JPEG and WebP through jSquash (mozjpeg and libwebp as WebAssembly), PNG and GIF
 * through the image room's own readers. What it cannot give exactly as Pillow does it refuses as
 * `unsupported_at_edge`.
 */

import decodeJpegWasm, { init as initJpeg } from '@jsquash/jpeg/decode.js';
import decodeWebpWasm, { init as initWebp } from '@jsquash/webp/decode.js';
import { SampleError } from '../src/errors.ts';
import { toRgb } from '../src/image/colour.ts';
import { decodeGif } from '../src/image/gif-pixels.ts';
import { checkJpegTail } from '../src/image/jpeg-tail.ts';
import { wasmPasses } from '../src/image/passes-wasm.ts';
import { decodePng } from '../src/image/png-pixels.ts';
import { usePasses } from '../src/image/resize.ts';
import type { DecodeOptions, ImageDecoder, ImageHeader, Pixels, RawPixels } from '../src/image/types.ts';
import { toVisual } from '../src/image/visual.ts';
import { placeFrame, singleFrame } from '../src/image/webp-frame.ts';
import { inflate } from './inflate.ts';
import { whyInexact } from './jpeg-exact.ts';

/** The compiled codecs, imported as modules: workerd compiles no WebAssembly from bytes. */
export interface EdgeCodecs {
  /** `@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm` */
  jpeg: WebAssembly.Module;
  /** `@jsquash/webp/codec/dec/webp_dec.wasm` */
  webp: WebAssembly.Module;
  /** `assets/resize.wasm`: the same pixels as without it, in a fifth of the time. */
  resize?: WebAssembly.Module;
}

export interface EdgeLimits {
  /**
   * More pixels than this are refused. The default keeps a picture within an isolate's 128 MB: a codec's
   * memory is about 4 bytes a pixel and its output as much again.
   */
  maxPixels?: number;
}

const DEFAULT_MAX_PIXELS = 8_000_000;

interface Codec {
  module: WebAssembly.Module;
  init(module: WebAssembly.Module, options: { printErr(text: string): void }): Promise<void>;
  decode(bytes: ArrayBuffer): Promise<{ width: number; height: number; data: ArrayLike<number> }>;
  /** The instance in use; absent before the first picture and after one that threw. */
  started?: Promise<void>;
}

/** A decoder for workerd; the same code runs wherever WebAssembly and `DecompressionStream` do. */
export function createEdgeDecoder(codecs: EdgeCodecs, limits: EdgeLimits = {}): ImageDecoder {
  const maxPixels = limits.maxPixels ?? DEFAULT_MAX_PIXELS;
  if (codecs.resize) usePasses(wasmPasses(codecs.resize));
  const jpeg: Codec = {
    module: codecs.jpeg,
    init: initJpeg as unknown as Codec['init'],
    decode: decodeJpegWasm,
  };
  const webp: Codec = {
    module: codecs.webp,
    init: initWebp as unknown as Codec['init'],
    decode: decodeWebpWasm,
  };

  const decodeRaw = async (bytes: Uint8Array, header: ImageHeader, alpha: boolean): Promise<RawPixels> => {
    if (header.format === 'png') return decodePng(bytes, header, inflate, alpha);
    if (header.format === 'gif') return decodeGif(bytes, header, alpha);
    if (header.format === 'webp') {
      return placeFrame(await runCodec(webp, singleFrame(bytes, header), 'webp'), header);
    }
    const inexact = whyInexact(bytes, header);
    if (inexact) throw new SampleError('unsupported_at_edge', `the JPEG ${inexact}`);
    checkJpegTail(bytes, header);
    // mozjpeg fills a picture that is cut short with grey; Pillow refuses it.
    if (!hasEndMarker(bytes, header.scanOffset))
      throw new SampleError('undecodable_image', 'the JPEG is cut short');
    return runCodec(jpeg, bytes, 'jpeg');
  };

  return {
    name: 'jsquash jpeg 1.6.0, webp 1.5.0',
    async decode(bytes: Uint8Array, header: ImageHeader, options: DecodeOptions = {}): Promise<Pixels> {
      if (header.width * header.height > maxPixels) {
        throw new SampleError(
          'image_too_large',
          `the picture has ${header.width}×${header.height} pixels, the edge decoder's limit is ${maxPixels}`,
        );
      }
      const visual = options.fit === 'visual';
      let raw: RawPixels;
      try {
        raw = await decodeRaw(bytes, header, visual);
      } catch (cause) {
        if (cause instanceof SampleError) throw cause;
        throw new SampleError('undecodable_image', `the ${header.format} cannot be decoded`, { cause });
      }
      if (raw.width !== header.width || raw.height !== header.height) {
        throw new SampleError('undecodable_image', `the ${header.format}'s size is not what its header says`);
      }
      if (visual) return toVisual(raw, header.orientation);
      return { width: raw.width, height: raw.height, data: raw.data };
    },
  };
}

/** A codec that has thrown is started anew the next time: its memory may be in any state. */
async function runCodec(codec: Codec, bytes: Uint8Array, format: string): Promise<RawPixels> {
  codec.started ??= codec.init(codec.module, { printErr: () => undefined });
  let image: Awaited<ReturnType<Codec['decode']>>;
  try {
    await codec.started;
    image = await codec.decode(bytes.slice().buffer);
  } catch (cause) {
    codec.started = undefined;
    // The codecs throw numbers and exit objects, not only errors.
    throw new SampleError('undecodable_image', `the ${format} cannot be decoded`, { cause });
  }
  const { width, height, data } = image;
  return toRgb(data as Uint8Array, width, height, 4);
}

function hasEndMarker(bytes: Uint8Array, from: number): boolean {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xd9) return true;
  }
  return false;
}
