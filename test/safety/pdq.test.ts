import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseBlockList } from '../../src/safety/blocklist.ts';
import { pdq } from '../../src/safety/pdq/hash.ts';
import { PdqIndex, pdqDistance } from '../../src/safety/pdq/index.ts';
import { demoPictures, drawn } from './drawn.ts';

interface Golden {
  pictures: Record<string, [hash: string, quality: number]>;
  large: [hash: string, quality: number];
  drawn: [kind: string, width: number, height: number, hash: string, quality: number][];
}
const golden = JSON.parse(
  await readFile(new URL('../fixtures/pdq/golden.json', import.meta.url), 'utf8'),
) as Golden;

describe('pdq', () => {
  it('is bit-equal to the reference on drawn pictures, flat, mirrored and tiny ones among them', () => {
    const found = golden.drawn.map(([kind, w, h]) => {
      const { hash, quality } = pdq(drawn(kind, w, h));
      return [kind, w, h, hash, quality];
    });
    expect(found).toEqual(golden.drawn);
  });

  it('is bit-equal to the reference on the pictures of a demo shard', async () => {
    const pictures = await demoPictures();
    expect([...pictures.keys()]).toEqual(Object.keys(golden.pictures));
    const found = [...pictures].map(([name, pixels]) => {
      const { hash, quality } = pdq(pixels);
      return [name, [hash, quality]];
    });
    expect(Object.fromEntries(found)).toEqual(golden.pictures);
  });

  it('stays near the reference past 16 megapixels, where squares of pixels are averaged first', () => {
    // Each pixel of a small picture repeated.
    const { width, height, data } = drawn('waves', 500, 400);
    const big = new Uint8Array(data.length * 100);
    for (let y = 0, p = 0; y < height * 10; y++) {
      for (let x = 0; x < width * 10; x++, p += 3) {
        const at = (Math.floor(y / 10) * width + Math.floor(x / 10)) * 3;
        big[p] = data[at];
        big[p + 1] = data[at + 1];
        big[p + 2] = data[at + 2];
      }
    }
    const { hash, quality } = pdq({ width: width * 10, height: height * 10, data: big });
    expect(pdqDistance(hash, golden.large[0])).toBeLessThanOrEqual(10);
    expect(Math.abs(quality - golden.large[1])).toBeLessThanOrEqual(2);
  });
});

/** Seeded hex digits. */
function hashes(n: number, seed: number): string[] {
  let state = seed;
  const word = () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) >>> 0).toString(16).padStart(8, '0');
  };
  return Array.from({ length: n }, () => Array.from({ length: 8 }, word).join(''));
}

/** A hash with so many bits flipped, spread over all its pieces. */
function flipped(hash: string, bits: number): string {
  let value = BigInt(`0x${hash}`);
  for (let i = 0; i < bits; i++) value ^= 1n << BigInt((i * 83) % 256);
  return value.toString(16).padStart(64, '0');
}

describe('PdqIndex', () => {
  it.each([100, 10_000])('with %d entries finds what lies within the distance of its entry', (n) => {
    const entries = hashes(n, 7);
    const index = new PdqIndex();
    for (const [i, hash] of entries.entries()) index.add(hash, i % 2 === 0 ? 31 : 47);
    for (const at of [0, 2, n - 2]) {
      for (const bits of [0, 1, 15, 16, 31]) expect(index.matches(flipped(entries[at], bits))).toBe(true);
      for (const bits of [32, 47, 48]) expect(index.matches(flipped(entries[at], bits))).toBe(false);
    }
    for (const bits of [31, 32, 47]) expect(index.matches(flipped(entries[1], bits))).toBe(true);
    expect(index.matches(flipped(entries[1], 48))).toBe(false);
    for (const other of hashes(200, 99)) expect(index.matches(other)).toBe(false);
    expect(index.matches('no hash')).toBeNull();
  });

  it('answers as a comparison with every entry does', () => {
    const entries = hashes(5000, 3);
    const index = new PdqIndex();
    for (const hash of entries) index.add(hash, 20);
    const questions = hashes(300, 5).map((hash, i) => (i % 3 === 0 ? flipped(entries[i], i % 41) : hash));
    for (const question of questions) {
      const near = entries.some((entry) => pdqDistance(entry, question) <= 20);
      expect(index.matches(question)).toBe(near);
    }
  });
});

describe('a list of PDQ hashes', () => {
  const text = new TextEncoder();
  const [a, b] = hashes(2, 1);

  it('has a distance by default and by line', () => {
    const list = parseBlockList(
      'pdq',
      text.encode(`# known\n${a}\n${b.toUpperCase()}, 4 # nearly the same\n`),
      'f',
    );
    expect(list.entries).toBe(2);
    const asked = [a, flipped(a, 31), flipped(a, 32), flipped(b, 4), flipped(b, 5), 'abc', null];
    expect(asked.map((hash) => list.matches(hash))).toEqual([true, true, false, true, false, null, null]);
  });

  it.each([`${a},64`, `${a},-1`, `${a},`, `${a},1,2`, `${a} 31`, a.slice(1)])('refuses %s', (line) => {
    expect(() => parseBlockList('pdq', text.encode(`${b}\n${line}\n`), 'f.txt')).toThrow(
      /line 2 .*file f\.txt/,
    );
  });
});
