import { describe, expect, it } from 'vitest';
import { SampleError } from '../../src/errors.ts';
import { crc32 } from '../../src/image/crc32.ts';
import { sniff, sniffFormat } from '../../src/image/sniff.ts';
import { MAX_IMAGE_PIXELS } from '../../src/image/types.ts';
import { pictureBytes } from './support.ts';

function reasonOf(bytes: Uint8Array): string {
  try {
    sniff(bytes);
  } catch (error) {
    if (error instanceof SampleError) return error.reason;
    throw error;
  }
  return 'none';
}

/** `rgb.png` with another size in its header and a checksum that fits. */
function pngOf(width: number, height: number): Uint8Array {
  const bytes = pictureBytes('rgb.png');
  const view = new DataView(bytes.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  view.setUint32(29, crc32(bytes, 12, 29));
  return bytes;
}

describe('sniff', () => {
  it('goes by content, not by name', () => {
    expect(sniffFormat(pictureBytes('name-lies.png'))).toBe('jpeg');
  });

  it.each([
    ['rgb.jpg', { format: 'jpeg', width: 37, height: 29, components: 3, sof: 0xc0, restarts: 0 }],
    ['progressive-cmyk.jpg', { format: 'jpeg', components: 4, sof: 0xc2 }],
    ['ycck.jpg', { adobeTransform: 2 }],
    // 80 × 40 at 4:2:0 is 5 × 3 MCUs, a restart after every third but the last.
    ['restarts.jpg', { restarts: 4 }],
    ['exif-6.jpg', { orientation: 6, width: 24, height: 16 }],
    ['png-4-16i.png', { format: 'png', colorType: 4, bitDepth: 16, interlaced: true }],
    ['apng.png', { animated: true }],
    ['png-exif.png', { orientation: 6 }],
    [
      'gif-partial-transparent.gif',
      { width: 20, height: 16, frame: { x0: 5, y0: 4, x1: 14, y1: 11 }, transparency: 2 },
    ],
    ['gif-outside.gif', { width: 14, height: 11 }],
    ['lossless-alpha.webp', { format: 'webp', lossless: true, alpha: true, animated: false }],
    [
      'animated-partial.webp',
      { width: 60, height: 50, animated: true, frame: { x0: 10, y0: 14, x1: 43, y1: 35 } },
    ],
  ])('reads the header of %s', (file, header) => {
    expect(sniff(pictureBytes(file))).toMatchObject(header);
  });

  it("has Pillow's cap on pixels, checked before decoding", () => {
    expect(MAX_IMAGE_PIXELS).toBe(178_956_970);
    expect(reasonOf(pngOf(178_956_970, 1))).toBe('none');
    expect(reasonOf(pngOf(178_956_971, 1))).toBe('image_too_large');
    expect(reasonOf(pngOf(0xffffffff, 0xffffffff))).toBe('image_too_large');
  });

  it('refuses a picture without pixels', () => {
    expect(reasonOf(pngOf(0, 5))).toBe('undecodable_image');
  });
});
