import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { blurBoxes } from '../../src/image/blur.ts';
import type { Pixels } from '../../src/image/types.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/subset/blur');
const CASES = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as { [name: string]: number[][] };

async function pixelsOf(name: string): Promise<Pixels> {
  const { data, info } = await sharp(join(FOLDER, `${name}.png`))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: new Uint8Array(data) };
}

describe('blurring boxes', () => {
  it.each(Object.keys(CASES))('gives img2dataset’s pixels: %s', async (name) => {
    const blurred = blurBoxes(await pixelsOf('picture'), CASES[name]);
    const golden = await pixelsOf(name);
    const differences = golden.data.map((level, i) => Math.abs(level - blurred.data[i]));
    // Where the exact number lies at a level, float32 sums may fall to either side of the cut.
    expect(Math.max(...differences)).toBeLessThanOrEqual(1);
    expect(differences.filter((difference) => difference > 0).length).toBeLessThan(differences.length / 500);
  });
});
