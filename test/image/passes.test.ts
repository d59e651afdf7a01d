import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelError } from '../../src/errors.ts';
import { wasmPasses } from '../../src/image/passes-wasm.ts';
import { type Crop, type Interpolation, plainPasses, resizeCrop } from '../../src/image/resize.ts';
import { assemble } from '../../tools/wasm/assemble.ts';
import { RESIZE_WAT } from '../../tools/wasm/resize.wat.ts';

const bytes = readFileSync(new URL('../../assets/resize.wasm', import.meta.url));
const wasm = wasmPasses(new WebAssembly.Module(bytes));

/** Bytes that strain the sums: any, only the ends of the range, or one level throughout. */
function picture(width: number, height: number, seed: number) {
  const data = new Uint8Array(width * height * 3);
  let x = seed;
  for (let i = 0; i < data.length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    data[i] = seed % 3 === 0 ? x >> 16 : seed % 3 === 1 ? ((x >> 16) & 1) * 255 : 255;
  }
  return { width, height, data };
}

function expectSame(
  src: ReturnType<typeof picture>,
  [width, height]: readonly [number, number],
  filter: Interpolation,
  crop: Crop,
): void {
  const plain = resizeCrop(src, width, height, filter, crop, plainPasses);
  const quick = resizeCrop(src, width, height, filter, crop, wasm);
  expect(Buffer.compare(plain, quick)).toBe(0);
}

/** A size, and a part of it. */
const side = fc.integer({ min: 1, max: 300 });
const part = fc.tuple(side, fc.nat(299), fc.nat(299)).map(([size, a, b]) => {
  const [from, to] = [Math.min(a, b) % size, (Math.max(a, b) % size) + 1];
  return { size, from: Math.min(from, to - 1), length: to - Math.min(from, to - 1) };
});

describe('the resize in WebAssembly', () => {
  it('is what its text assembles to', async () => {
    expect(Buffer.compare(bytes, await assemble('resize.wat', RESIZE_WAT))).toBe(0);
  });

  it('gives the plain bytes for any size, scale, crop and content', () => {
    fc.assert(
      fc.property(
        fc.tuple(side, side, fc.nat(1e6)),
        part,
        part,
        fc.constantFrom<Interpolation>('bicubic', 'bilinear'),
        ([w, h, seed], x, y, filter) => {
          const crop = { left: x.from, top: y.from, width: x.length, height: y.length };
          expectSame(picture(w, h, seed), [x.size, y.size], filter, crop);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    { what: 'a row', from: [30_000, 1], to: [257, 1] },
    { what: 'a column', from: [1, 30_000], to: [1, 257] },
    { what: 'a row made high', from: [4_000, 2], to: [4_001, 90] },
    { what: 'a strip taken down first', from: [11, 9_001], to: [10, 7] },
    { what: 'many strips', from: [2_003, 1_501], to: [341, 256] },
    // More memory than the kernel takes for itself.
    { what: 'a large vertical pass', from: [2_400, 2_500], to: [2_399, 3] },
  ])('gives the plain bytes for $what', ({ from: [w, h], to: [width, height] }) => {
    const crop = { left: width >> 3, top: 0, width: width - (width >> 3), height };
    for (const filter of ['bicubic', 'bilinear'] as const)
      expectSame(picture(w, h, 3), [width, height], filter, crop);
  });

  it('adds modulo 2^32 as the plain passes do, and leaves larger weights to them', () => {
    const src = picture(9, 3, 3);
    for (const weight of [2 ** 30 - 1, -(2 ** 30), 2 ** 31 - 1]) {
      const w = {
        start: Int32Array.of(0, 4),
        length: Int32Array.of(3, 3),
        weights: Int32Array.of(weight, -weight, weight, 5, 6, weight),
        stride: 3,
      };
      const row = (passes: typeof wasm) => passes.horizontal(src.data, 9, 0, 3, w);
      expect(row(wasm)).toEqual(row(plainPasses));
      const rows = { ...w, start: Int32Array.of(0, 0) };
      const column = (passes: typeof wasm) => passes.vertical(src.data, 9, 0, 2, 9, rows);
      expect(column(wasm)).toEqual(column(plainPasses));
    }
  });

  it('refuses another module', () => {
    const empty = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
    expect(() => wasmPasses(empty)).toThrow(ModelError);
  });
});
