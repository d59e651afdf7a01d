import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelError, SampleError } from '../../src/errors.ts';
import { wasmPasses } from '../../src/image/passes-wasm.ts';
import { geometry, inputLength, preprocess } from '../../src/image/preprocess.ts';
import { parsePreprocess, preprocessFingerprint } from '../../src/image/preprocess-config.ts';
import { plainPasses, usePasses } from '../../src/image/resize.ts';
import type { Pixels } from '../../src/image/types.ts';
import { type PreprocessGolden, preprocessGoldens, sha256 } from './support.ts';

/** The same bytes as `noise` in tools/oracle/image_fixtures.py. */
function noise({ width, height, seed }: PreprocessGolden): Pixels {
  const data = new Uint8Array(width * height * 3);
  let x = seed;
  for (let i = 0; i < data.length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    data[i] = (x >> 16) & 255;
  }
  return { width, height, data };
}

function name(golden: PreprocessGolden): string {
  const { width, height, resize_mode, interpolation, size } = golden;
  return `${width}×${height} ${resize_mode} ${interpolation} to ${size}`;
}

const kernel = new WebAssembly.Module(readFileSync(new URL('../../assets/resize.wasm', import.meta.url)));

describe.each([
  ['plain code', plainPasses],
  ['WebAssembly', wasmPasses(kernel)],
])("open_clip's input, bit for bit, by %s", (_, passes) => {
  beforeAll(() => usePasses(passes));
  afterAll(() => usePasses(plainPasses));

  it.each(preprocessGoldens.map((golden) => ({ title: name(golden), golden })))('$title', ({ golden }) => {
    const { resize_mode, interpolation, size, fill_color } = golden;
    const config = parsePreprocess({ resize_mode, interpolation, size, fill_color });
    const out = new Float32Array(inputLength(config) + 2).fill(7);
    if (golden.refused) {
      expect(() => preprocess(noise(golden), config, out, 1)).toThrow(SampleError);
      return;
    }
    preprocess(noise(golden), config, out, 1);
    // Nothing is written outside its own place in the batch.
    expect([out[0], out.at(-1)]).toEqual([7, 7]);
    expect(sha256(new Uint8Array(out.buffer, 4, inputLength(config) * 4))).toBe(golden.sha256);
  });

  it('resizes no more of a very tall picture than the crop needs', () => {
    const config = parsePreprocess({}, 256);
    const tall = { width: 1, height: 65_500, data: new Uint8Array(65_500 * 3).fill(90) };
    const out = new Float32Array(inputLength(config));
    preprocess(tall, config, out);
    expect(geometry(1, 65_500, config).height).toBe(256 * 65_500);
    expect(new Set(out).size).toBe(3);
  });
});

describe('parsePreprocess', () => {
  it("takes open_clip's defaults, and the model's size before the config's", () => {
    const config = parsePreprocess({ size: 224, mean: null }, 256);
    expect(config).toMatchObject({
      width: 256,
      height: 256,
      interpolation: 'bicubic',
      resizeMode: 'shortest',
    });
    expect(config.mean[0]).toBe(0.48145466);
  });

  it('reads a pair as height and width', () => {
    expect(parsePreprocess({}, [160, 96])).toMatchObject({ height: 160, width: 96 });
  });

  it.each([
    ['mode', 'L'],
    ['interpolation', 'nearest'],
    ['resize_mode', 'stretch'],
    ['fill_color', 300],
    ['size', 0],
    ['size', [1, 2, 3]],
    ['std', [0, 1, 1]],
    ['mean', ['a', 'b', 'c']],
    ['colour_space', 'linear'],
  ])('refuses %s = %j by name', (key, value) => {
    expect(() => parsePreprocess({ [key]: value })).toThrow(ModelError);
    expect(() => parsePreprocess({ [key]: value })).toThrow(`preprocess_cfg.${key}`);
  });

  it.each(['text', 3, [1]])('refuses %j as a config', (value) => {
    expect(() => parsePreprocess(value)).toThrow(ModelError);
  });
});

describe('preprocessFingerprint', () => {
  const base = preprocessFingerprint(parsePreprocess({}, 224));

  it('is 16 hex digits, the same for the same config however it is written', () => {
    expect(base).toMatch(/^[0-9a-f]{16}$/);
    expect(preprocessFingerprint(parsePreprocess({ resize_mode: 'shortest', size: 224 }))).toBe(base);
  });

  it('changes with everything that changes the input', () => {
    const others = [
      preprocessFingerprint(parsePreprocess({}, 224), 'visual'),
      ...[
        { size: 256 },
        { mean: 0.5 },
        { std: 0.5 },
        { interpolation: 'bilinear' },
        { resize_mode: 'squash' },
      ].map((cfg) => preprocessFingerprint(parsePreprocess(cfg))),
    ];
    expect(new Set([base, ...others]).size).toBe(7);
  });
});
