import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromFloat16, toFloat16 } from '../../src/metadata/float16.ts';
import { fixtureJson } from '../helpers/fixtures.ts';

const golden = fixtureJson<{ sha256: { [name: string]: string }; cases: [number, number][]; back: string }>(
  'metadata/float16.json',
);
const sha256 = (bytes: Uint16Array | Float32Array) =>
  createHash('sha256')
    .update(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    .digest('hex');
const floats = (bits: Uint32Array<ArrayBuffer>) => new Float32Array(bits.buffer);
const allHalves = () => fromFloat16(Uint16Array.from({ length: 65536 }, (_, i) => i));

/** The same bits as tools/oracle/metadata_goldens.py makes. */
const BITS: { [name: string]: () => Uint32Array<ArrayBuffer> } = {
  sweep: () => Uint32Array.from({ length: Math.ceil(2 ** 32 / 4099) }, (_, i) => i * 4099),
  near: () => {
    const halves = new Uint32Array(allHalves().buffer);
    const steps = [-4097, -4096, -4095, -1, 0, 1, 4095, 4096, 4097];
    return Uint32Array.from(
      { length: halves.length * 9 },
      (_, i) => halves[Math.trunc(i / 9)] + steps[i % 9],
    );
  },
  tiny: () => {
    const odd = new Uint32Array(Float32Array.from({ length: 2050 }, (_, i) => i * 2 ** -25).buffer);
    const near = Uint32Array.from({ length: odd.length * 3 }, (_, i) => odd[Math.trunc(i / 3)] + (i % 3) - 1);
    return Uint32Array.from({ length: near.length * 2 }, (_, i) =>
      i < near.length ? near[i] : near[i - near.length] | 0x80000000,
    );
  },
};

describe('float32 to float16', () => {
  it.each(golden.cases)('rounds bits %i as NumPy does', (bits, half) => {
    expect(toFloat16(floats(Uint32Array.of(bits)))[0]).toBe(half);
  });

  it.each(Object.keys(BITS))('gives NumPy’s bits over the whole set %s', (name) => {
    expect(sha256(toFloat16(floats(BITS[name]())))).toBe(golden.sha256[name]);
  });

  it('reads a view that does not begin at its buffer’s start', () => {
    expect([...toFloat16(Float32Array.of(9, 1, 2).subarray(1))]).toEqual([0x3c00, 0x4000]);
  });
});

describe('float16 to float32', () => {
  it('gives NumPy’s values for every half', () => {
    const plain = allHalves().map((value) =>
      Number.isNaN(value) ? 1e9 : value === Infinity ? 2e9 : value === -Infinity ? -2e9 : value,
    );
    expect(sha256(plain)).toBe(golden.back);
  });
});
