import fc from 'fast-check';
import sharp, { type JpegOptions } from 'sharp';
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { SampleError } from '../../src/errors.ts';
import { fastDecodeSide, reducedSize } from '../../src/image/fast-decode.ts';
import { preprocessBytes } from '../../src/image/preprocess.ts';
import { parsePreprocess, preprocessFingerprint } from '../../src/image/preprocess-config.ts';
import { sniff } from '../../src/image/sniff.ts';
import type { JpegHeader } from '../../src/image/types.ts';
import { pictureBytes } from './support.ts';

/** Waves of several lengths, most of them long enough for the model to see. */
function jpegOf(options: JpegOptions, width: number, height: number): Promise<Buffer> {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return 128 + 60 * Math.sin(x / (8 + y / 20)) + 60 * Math.cos(y / (10 + (i % 3)));
  });
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg(options)
    .toBuffer();
}
const large = new Uint8Array(await jpegOf({ quality: 90 }, 701, 467));
const header = sniff(pictureBytes('rgb.jpg')) as JpegHeader;

describe('the size of a reduced picture', () => {
  it('keeps the side that was asked for and the shape, and is never reduced by less than it says', () => {
    const size = fc.integer({ min: 1, max: 20_000 });
    fc.assert(
      fc.property(size, size, fc.integer({ min: 1, max: 800 }), (width, height, side) => {
        const reduced = reducedSize({ ...header, width, height }, side);
        const shorter = Math.min(width, height);
        if (reduced === undefined) {
          expect(Math.floor(shorter / 3)).toBeLessThan(side);
          return;
        }
        const kept = Math.min(reduced.width, reduced.height);
        expect(kept).toBeGreaterThanOrEqual(side);
        const divisor = shorter >= 9 * side ? 9 : shorter >= 5 * side ? 5 : 3;
        expect(kept).toBe(Math.floor(shorter / divisor));
        expect(Math.min(width / reduced.width, height / reduced.height)).toBeGreaterThanOrEqual(divisor);
        // One pixel off at the most: the other side is cut to a whole number.
        const long = Math.max(width, height) * (kept / shorter);
        expect(Math.abs(long - Math.max(reduced.width, reduced.height))).toBeLessThan(1);
      }),
    );
  });

  it('is one and a half times the largest input', () => {
    expect(fastDecodeSide([parsePreprocess({}, 224), parsePreprocess({}, 256)])).toBe(384);
    expect(fastDecodeSide([parsePreprocess({}, 63)])).toBe(95);
  });

  it.each([
    ['CMYK', { components: 4 as const }],
    ['lossless', { sof: 0xc3 }],
    ['arithmetic', { sof: 0xc9 }],
  ])('is left alone in a %s JPEG', (_, odd) => {
    const jpeg = { ...header, width: 4000, height: 3000 };
    expect(reducedSize(jpeg, 100)).toEqual({ width: 444, height: 333 });
    expect(reducedSize({ ...jpeg, ...odd }, 100)).toBeUndefined();
  });

  it('is part of the fingerprint, and absent from that of an exact decode', () => {
    const config = parsePreprocess({}, 224);
    const fingerprints = [undefined, 336, 384].map((side) =>
      preprocessFingerprint(config, 'open_clip', side),
    );
    expect(new Set(fingerprints).size).toBe(3);
    expect(fingerprints[0]).toBe(preprocessFingerprint(config));
  });
});

describe('a decoder that reduces', () => {
  const decoder = createDecoder({ fastDecode: 96 });

  it('says so in its name, which picture annotators take into their fingerprints', () => {
    expect(decoder.name).toBe(`${createDecoder().name}, large JPEGs reduced to 96 px and more`);
  });

  it.each([
    ['baseline', {}],
    ['progressive', { progressive: true }],
    ['4:4:4', { chromaSubsampling: '4:4:4' }],
  ])('comes near the exact input of a %s JPEG', async (_, options) => {
    const bytes = new Uint8Array(await jpegOf({ quality: 90, ...options }, 701, 467));
    const config = parsePreprocess({}, 64);
    const picture = await decoder.decode(bytes, sniff(bytes));
    expect([picture.width, picture.height]).toEqual([232, 155]);
    const fast = preprocessBytes(picture, config);
    const exact = preprocessBytes(await createDecoder().decode(bytes, sniff(bytes)), config);
    const off = fast.reduce((sum, level, i) => sum + Math.abs(level - exact[i]), 0) / fast.length;
    expect(off).toBeGreaterThan(0);
    expect(off).toBeLessThan(3);
  });

  it('gives grey as RGB, and turns what is turned', async () => {
    const grey = new Uint8Array(await sharp(large).greyscale().withMetadata({ orientation: 6 }).toBuffer());
    const { width, height, data } = await decoder.decode(grey, sniff(grey), { fit: 'visual' });
    expect([width, height, data.length]).toEqual([155, 232, 155 * 232 * 3]);
    expect(data.every((level, i) => level === data[i - (i % 3)])).toBe(true);
  });

  it('decodes what is not large enough as ever', async () => {
    const exact = await createDecoder().decode(large, sniff(large));
    const whole = await createDecoder({ fastDecode: 156 }).decode(large, sniff(large));
    expect(Buffer.compare(whole.data, exact.data)).toBe(0);
    const png = pictureBytes('rgb.png');
    const small = await createDecoder({ fastDecode: 1 }).decode(png, sniff(png));
    expect([small.width, small.height]).toEqual([37, 29]);
  });

  it('refuses a picture that is cut short', async () => {
    const cut = large.subarray(0, large.length >> 1);
    await expect(decoder.decode(cut, sniff(cut))).rejects.toThrow(SampleError);
  });
});
