/**
 * Which JPEGs jSquash's mozjpeg gives to the last bit: it is older than Pillow's libjpeg-turbo, and differs
 * in the upsampling of rare chroma layouts and in the smoothing of unfinished progressive pictures.
 */

import type { JpegHeader } from '../src/image/types.ts';

/** Luma's sampling factors, chroma having 1 × 1: 4:4:4, 4:2:2, 4:2:0, 4:1:1, and 1 × 4. */
const EXACT_LUMA = new Set([0x11, 0x21, 0x22, 0x41, 0x14]);

/** Why this picture would not be exact, to be read after "the JPEG", or undefined. */
export function whyInexact(bytes: Uint8Array, header: JpegHeader): string | undefined {
  const { components, sampling, sof } = header;
  if (components === 4) return 'is CMYK, which the edge decoder does not read';
  if (sof > 0xc2) return 'is lossless or arithmetic-coded, which the edge decoder does not read';
  const isRare =
    components === 3 && !(EXACT_LUMA.has(sampling[0]!) && sampling[1] === 0x11 && sampling[2] === 0x11);
  if (isRare) return 'has a chroma layout that the edge decoder does not give exactly';
  if (sof === 0xc2 && !isFinished(bytes, header)) return 'is progressive and unfinished';
  return undefined;
}

/** True if the scans of a progressive picture bring every coefficient of every component to its last bit. */
function isFinished(bytes: Uint8Array, header: JpegHeader): boolean {
  const missingBits = header.ids.map(() => new Uint8Array(64).fill(255));
  for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] !== 0xda) continue;
    const count = bytes[at + 4] ?? 0;
    const tail = at + 5 + count * 2;
    const [first, last, bits] = [bytes[tail] ?? 0, bytes[tail + 1] ?? 0, bytes[tail + 2] ?? 0];
    for (let i = 0; i < count; i++) {
      const component = header.ids.indexOf(bytes[at + 5 + i * 2] ?? -1);
      if (component >= 0) missingBits[component]!.fill(bits & 15, first, Math.min(64, last + 1));
    }
  }
  return missingBits.every((coefficients) => coefficients.every((bits) => bits === 0));
}
