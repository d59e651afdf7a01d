/**
 * What the image room passes on: a header read from bytes, pixels, and the interface that a platform's
 * decoder fills.
 */

/**
 * Pictures with more pixels than this are refused before decoding. Pillow's `DecompressionBombError` limit:
 * twice `MAX_IMAGE_PIXELS`, which is a quarter gigabyte of 24-bit pixels (Pillow, `Image.py`).
 */
export const MAX_IMAGE_PIXELS = 2 * Math.floor(1024 ** 3 / 4 / 3);

/**
 * How a picture is read.
 * - `open_clip`: as `Image.open(f).convert("RGB")` does in Pillow 13.0.0: no ICC, no EXIF rotation, first
 *   frame, alpha dropped.
 * - `visual`: as a viewer shows it: turned by the EXIF orientation, transparency laid on white.
 */
export type Fit = 'open_clip' | 'visual';

/** Decoded pixels: `data` is `height * width * 3` bytes, rows from the top, R G B interleaved. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8Array;
  /** The picture's own size where it was decoded reduced: where a crop lies is decided by it. */
  original?: { width: number; height: number };
}

/** A decoder's result before `visual` has been applied; `alpha` is `height * width` bytes, absent if opaque. */
export interface RawPixels extends Pixels {
  alpha?: Uint8Array;
}

interface HeaderBase {
  /** Pixels, before any EXIF rotation. Both at least 1, their product at most `MAX_IMAGE_PIXELS`. */
  width: number;
  height: number;
  /** EXIF orientation 1–8 where the file carries one. */
  orientation?: number;
}

export interface JpegHeader extends HeaderBase {
  format: 'jpeg';
  components: 1 | 3 | 4;
  /** Marker of the frame header, 0xC0–0xCF: 0xC2 progressive, 0xC3 lossless, 0xC9 and 0xCA arithmetic-coded. */
  sof: number;
  /** The Adobe marker's colour transform: 0 none, 1 YCbCr, 2 YCCK. */
  adobeTransform?: number;
  /** Ids of the frame's components, in its order. */
  ids: number[];
  /** Their sampling factors, horizontal in the high four bits. */
  sampling: number[];
  /** Restart markers that the first scan should hold, 0 for none. */
  restarts: number;
  /** Components in the first scan; as many as the picture has where one scan holds it all. */
  scanComponents: number;
  /** Offset of the first scan's entropy-coded data. */
  scanOffset: number;
}

/** Half-open pixel rectangle on the canvas. */
export interface Rect {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

export interface PngHeader extends HeaderBase {
  format: 'png';
  bitDepth: 1 | 2 | 4 | 8 | 16;
  /** 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA. */
  colorType: 0 | 2 | 3 | 4 | 6;
  interlaced: boolean;
  /** RGB triples of PLTE, for colour type 3. */
  palette?: Uint8Array;
  /** The raw tRNS chunk. */
  transparency?: Uint8Array;
  /** Animated PNG. */
  animated: boolean;
  /** What the first frame covers; the whole canvas but for odd animated files. */
  frame: Rect;
  /** Offset of the header of the first chunk with image data. */
  dataOffset: number;
  /** The last sequence number seen in an animated file, -1 before any. */
  sequence: number;
}

export interface GifHeader extends HeaderBase {
  format: 'gif';
  frame: Rect;
  interlaced: boolean;
  /** RGB triples of the palette in force for the first frame; absent where Pillow reads it as grey. */
  palette?: Uint8Array;
  /** Palette index that is transparent in the first frame. */
  transparency?: number;
  /** LZW minimum code size. */
  codeBits: number;
  /** Offset of the first block of image data. */
  dataOffset: number;
}

export interface WebpHeader extends HeaderBase {
  format: 'webp';
  lossless: boolean;
  alpha: boolean;
  animated: boolean;
  frame: Rect;
  /** `[start, end)` of the first frame's VP8 or VP8L payload. */
  image: [number, number];
  /** `[start, end)` of its ALPH payload. */
  alphaData?: [number, number];
}

export type ImageHeader = JpegHeader | PngHeader | GifHeader | WebpHeader;
export type ImageFormat = ImageHeader['format'];

export interface DecodeOptions {
  /** Default `open_clip`. */
  fit?: Fit;
  signal?: AbortSignal;
}

export interface ImageDecoder {
  /** For `run.json` and its fingerprint: library and version, such as `sharp 0.35.5`. */
  readonly name: string;
  /** Pictures that it decodes at once; more would only wait, and hold memory. One where absent. */
  readonly lanes?: number;
  /**
   * Pixels of the first frame. `header` is what `sniff` read from the same bytes.
   * Throws `SampleError` `undecodable_image`, `image_too_large` or `unsupported_at_edge`; `CancelledError` where
   * the signal has been raised before; nothing else.
   */
  decode(bytes: Uint8Array, header: ImageHeader, options?: DecodeOptions): Promise<Pixels>;
}
