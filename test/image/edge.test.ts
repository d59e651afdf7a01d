import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { createEdgeDecoder } from '../../functions/decode.ts';
import { goldens, look, pictureBytes } from './support.ts';

const { resolve } = createRequire(import.meta.url);
const compile = (path: string): WebAssembly.Module => new WebAssembly.Module(readFileSync(resolve(path)));
const codecs = {
  jpeg: compile('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm'),
  webp: compile('@jsquash/webp/codec/dec/webp_dec.wasm'),
};
const decoder = createEdgeDecoder(codecs);

const isCmyk = (file: string): boolean => /cmyk|ycck/.test(file);

describe('the decoder of the edge', () => {
  it.each(goldens)('$file', async (golden) => {
    const { file, width, height, sha256 } = golden;
    const seen = await look(decoder, pictureBytes(file));
    if (isCmyk(file)) expect(seen).toBe('unsupported_at_edge');
    else expect(seen).toEqual(sha256 === undefined ? 'undecodable_image' : { width, height, sha256 });
  });

  it.each([
    ['4:4:0', (bytes: Uint8Array, frame: number) => bytes.fill(0x12, frame + 11, frame + 12)],
    ['lossless', (bytes: Uint8Array, frame: number) => bytes.fill(0xc3, frame + 1, frame + 2)],
    ['arithmetic', (bytes: Uint8Array, frame: number) => bytes.fill(0xc9, frame + 1, frame + 2)],
  ])('says that it cannot give %s JPEGs exactly', async (_, change) => {
    const bytes = pictureBytes('rgb.jpg');
    const frame = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
    expect(await look(decoder, change(bytes, frame))).toBe('unsupported_at_edge');
  });

  it('says that it cannot give an unfinished progressive JPEG exactly', async () => {
    const bytes = pictureBytes('progressive.jpg');
    const lastScan = bytes.findLastIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xda);
    const unfinished = new Uint8Array([...bytes.subarray(0, lastScan), 0xff, 0xd9]);
    expect(await look(decoder, unfinished)).toBe('unsupported_at_edge');
  });

  it('reads on after a picture on which the codec gave up', async () => {
    const good = pictureBytes('rgb.jpg');
    const before = await look(decoder, good);
    const bad = good.slice();
    // The first Huffman table says it holds more codes than there can be.
    const table = bad.findIndex((byte, i) => byte === 0xff && bad[i + 1] === 0xc4);
    bad.fill(0xff, table + 5, table + 21);
    expect(await look(decoder, bad)).toBe('undecodable_image');
    expect(await look(decoder, good)).toEqual(before);
  });

  it('refuses more pixels than an isolate has room for', async () => {
    const small = createEdgeDecoder(codecs, { maxPixels: 37 * 29 - 1 });
    expect(await look(small, pictureBytes('rgb.png'))).toBe('image_too_large');
  });
});
