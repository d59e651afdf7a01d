import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { cli } from '../helpers/cli.ts';
import { makeTar } from '../helpers/shards.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const at = (name: string) => join(folder, name);
const shard = at('large.tar');

/** One picture that the demo model's 64 px let reduce, one that they do not, one of another format. */
beforeAll(async () => {
  const large = sharp('docs/safety-report.png')
    .flatten({ background: 'white' })
    .resize(600, 450, { fit: 'fill' });
  const jpeg = await large.jpeg({ quality: 90 }).toBuffer();
  const small = await sharp(jpeg).resize(300, 225).jpeg().toBuffer();
  await writeFile(
    shard,
    await makeTar([
      ['0.jpg', jpeg],
      ['0.txt', 'a report of safety'],
      ['1.jpg', small],
      ['1.txt', 'a report of safety'],
      ['2.png', await sharp(jpeg).png().toBuffer()],
      ['2.txt', 'a report of safety'],
    ]),
  );
});

const score = (out: string, ...more: string[]) =>
  cli(['score', shard, '--model', 'demo', '--out', at(out), ...more]);

async function embeddings(out: string): Promise<Buffer> {
  return readFile(join(at(out), 'large.npz'));
}

test('--fast-decode changes what is large, stands in run.json, and is not mixed with exact numbers', async () => {
  expect(await score('exact')).toMatchObject({ code: 0 });
  expect(await score('fast', '--fast-decode')).toMatchObject({ code: 0 });
  const compared = await cli(['compare', at('exact'), at('fast'), '--json']);
  const { rows, scores } = JSON.parse(compared.stdout);
  expect(rows).toMatchObject({ both: 3, unscored: 0 });
  expect(scores.maxAbsolute).toBeGreaterThan(0);
  expect(scores.maxAbsolute).toBeLessThan(0.05);
  // Two of three are as they were.
  expect(scores.meanAbsolute * 3).toBeCloseTo(scores.maxAbsolute, 6);
  expect(Buffer.compare(await embeddings('exact'), await embeddings('fast'))).not.toBe(0);

  const [exact, fast] = await Promise.all(
    ['exact', 'fast'].map(async (out) => JSON.parse(await readFile(join(at(out), 'run.json'), 'utf8'))),
  );
  expect(exact.models.demo).not.toHaveProperty('fast_decode');
  expect(fast.models.demo.fast_decode).toBe(96);
  expect(fast.models.demo.preprocess_fingerprint).not.toBe(exact.models.demo.preprocess_fingerprint);

  const before = await filesOf(at('exact'));
  const mixed = await score('exact', '--fast-decode');
  expect(mixed.code).toBe(1);
  expect(mixed.stderr).toMatch(/model demo .*fast_decode/);
  expect(await filesOf(at('exact'))).toEqual(before);
});

test('what looks at pictures itself is not given reduced ones', async () => {
  const refused = await score('judged', '--fast-decode', '--safety', 'hashes');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/--fast-decode would change what .* see.*annotate/);
});

test('filter and recipes have it too', async () => {
  const args = ['filter', shard, '--model', 'demo', '--fraction', '0.5', '--out', at('filtered')];
  const recipe = await cli([...args, '--fast-decode', '--print-recipe']);
  expect(recipe.stdout).toMatch(/fast_decode: true/);
  await writeFile(at('recipe.yaml'), recipe.stdout);
  expect(await cli(['run', at('recipe.yaml')])).toMatchObject({ code: 0 });
  const run = JSON.parse(await readFile(join(at('filtered'), 'metadata/run.json'), 'utf8'));
  expect(run.models.demo.fast_decode).toBe(96);
});
