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
