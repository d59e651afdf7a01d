import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Folder } from '../../src/io/bytes.ts';
import { codePoints, fasttextTokens, wordCount } from '../../src/select/captions.ts';
import { openPool } from '../../src/select/pool.ts';
import { loadEntityTable } from '../../src/select/text-based.ts';
import { fixture, fixtureFolder, fixtureLines } from '../helpers/fixtures.ts';

type Row = [
  file: string,
  row: number,
  fasttext: string,
  probability: number,
  cld3: string,
  words: number,
  points: number,
  tokens: number,
  entity: boolean,
  centroid: number,
];
const captionsOf = async (folder: Folder) => {
  const captions: (string | null)[] = [];
  for await (const batch of (await openPool([folder])).scan([{ name: 'text', as: 'text' }])) {
    captions.push(...batch.texts('text').slice(0, batch.rows));
  }
  return captions;
};
const goldens = fixtureLines<Row>('baselines/columns.jsonl');

it('judges the captions of the pool as DataComp’s code does', async () => {
  const table = loadEntityTable(
    readFileSync(new URL('../../assets/wordnet/entities.txt.gz', import.meta.url)),
  );
  const ours = (await captionsOf(fixtureFolder('baselines/pool'))).map((caption) => {
    const text = caption!;
    return [wordCount(text), codePoints(text), fasttextTokens(text), table.hasEntity(text)];
  });
  const theirs = goldens.map(([, , , , , words, points, tokens, entity]) => [words, points, tokens, entity]);
  expect(ours).toEqual(theirs);
});

it('reads a file of no rows, which may have lost its types, as nothing', async () => {
  const folder = fixtureFolder('baselines/pool');
  folder.files.set('empty.parquet', fixture('baselines/no-rows.parquet'));
  expect(await captionsOf(folder)).toHaveLength(goldens.length);
});
