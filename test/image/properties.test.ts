import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { exifOrientation } from '../../src/image/exif.ts';
import { goldens, look, pictureBytes } from './support.ts';

const decoder = createDecoder();
const files = goldens.map((golden) => pictureBytes(golden.file)).filter((bytes) => bytes.length > 0);

/** One of the fixtures, with a few bytes changed, cut out or put in. */
const mutated = fc
  .record({
    file: fc.constantFrom(...files),
    edits: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        // Headers are where lengths are read.
        near: fc.boolean(),
        drop: fc.nat(8),
        put: fc.uint8Array({ maxLength: 8 }),
      }),
      { minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ file, edits }) => {
    let bytes = [...file];
    for (const { at, near, drop, put } of edits) {
      const from = Math.floor(at * (near ? Math.min(64, bytes.length) : bytes.length));
      bytes = [...bytes.slice(0, from), ...put, ...bytes.slice(from + drop)];
    }
    return new Uint8Array(bytes);
  });

const MAGICS = [
  '\xff\xd8\xff',
  '\x89PNG\r\n\x1a\n',
  'GIF89a',
  'RIFF\x40\0\0\0WEBPVP8X',
  'RIFF\x40\0\0\0WEBPVP8L',
  '',
];
const random = fc
  .tuple(fc.constantFrom(...MAGICS), fc.uint8Array({ maxLength: 300 }))
  .map(([magic, rest]) => new Uint8Array([...magic].map((c) => c.charCodeAt(0)).concat([...rest])));

/** `look` throws on anything but a `SampleError`, and vitest's timeout on a hang. */
async function holds(bytes: Uint8Array): Promise<void> {
  const seen = await look(decoder, bytes);
  if (typeof seen === 'string') expect(['undecodable_image', 'image_too_large']).toContain(seen);
  else expect(seen.width * seen.height).toBeGreaterThan(0);
}

describe('bytes that nobody has checked', () => {
  it('random ones give pixels or one of the two reasons', async () => {
    await fc.assert(fc.asyncProperty(random, holds), { numRuns: 400 });
  });

  it('damaged pictures give pixels or one of the two reasons', async () => {
    await fc.assert(fc.asyncProperty(mutated, holds), { numRuns: 800 });
  });

  it('an EXIF block never throws', () => {
    const block = fc
      .tuple(fc.constantFrom('II*\0', 'MM\0*', 'Exif\0\0II*\0', ''), fc.uint8Array({ maxLength: 80 }))
      .map(([head, rest]) => new Uint8Array([...head].map((c) => c.charCodeAt(0)).concat([...rest])));
    fc.assert(
      fc.property(block, (bytes) => {
        const orientation = exifOrientation(bytes);
        expect(orientation === undefined || (orientation >= 1 && orientation <= 8)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
