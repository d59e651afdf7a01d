import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { codePoints, fasttextTokens, wordCount } from '../../src/select/captions.ts';
import { openPool } from '../../src/select/pool.ts';
import { loadEntityTable } from '../../src/select/text-based.ts';
import { fixtureFolder, fixtureLines } from '../helpers/fixtures.ts';

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
const goldens = fixtureLines<Row>('baselines/columns.jsonl');

it('judges the captions of the pool as DataComp’s code does', async () => {
  const table = loadEntityTable(
    readFileSync(new URL('../../assets/wordnet/entities.txt.gz', import.meta.url)),
  );
  const pool = await openPool([fixtureFolder('baselines/pool')]);
  const ours: [number, number, number, boolean][] = [];
  for await (const batch of pool.scan([{ name: 'text', as: 'text' }])) {
    for (const text of batch.texts('text').slice(0, batch.rows)) {
      ours.push([wordCount(text!), codePoints(text!), fasttextTokens(text!), table.hasEntity(text!)]);
    }
  }
  const theirs = goldens.map(([, , , , , words, points, tokens, entity]) => [words, points, tokens, entity]);
  expect(ours).toEqual(theirs);
});
