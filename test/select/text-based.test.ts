import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { MetadataError } from '../../src/errors.ts';
import { type EntityTable, loadEntityTable } from '../../src/select/text-based.ts';
import { fixture } from '../helpers/fixtures.ts';

const packed = readFileSync(new URL('../../assets/wordnet/entities.txt.gz', import.meta.url));
let table: EntityTable;

beforeAll(() => {
  table = loadEntityTable(packed);
});

describe('the same answer as NLTK over WordNet 3.0', () => {
  it('for lemmas, irregular forms, inflections, other cases and words that are none', () => {
    const lines = gunzipSync(fixture('baselines/words.txt.gz')).toString('utf8').trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(11_000);
    // Twice: the second time from the cache.
    for (let round = 0; round < 2; round++) {
      const wrong = lines.filter((line) => table.hasEntity(line.slice(2)) !== (line[0] === '1'));
      expect(wrong).toEqual([]);
    }
  });

  it.each([
    ['dog', true],
    ['Dogs', true],
    // One lookup strips one ending after another, in the version that DataComp pins.
    ['dogsss', true],
    // Punctuation is part of a word.
    ['dog,', false],
    ['ice cream', true],
    ['ice_cream', true],
    // U+212A KELVIN SIGN is a k in lower case.
    ['\u212aitten', true],
    ['kitten\u001cx', true],
    ['kitten\ufeff', false],
    ['', false],
    [' \n ', false],
  ])('%j: %s', (caption, expected) => {
    expect(table.hasEntity(caption)).toBe(expected);
  });
});

it('takes one entity among many words, and a very long word', () => {
  expect(table.hasEntity(`${'of the '.repeat(1000)}kitten`)).toBe(true);
  expect(table.hasEntity('of the '.repeat(1000))).toBe(false);
  expect(table.hasEntity(`dog${'s'.repeat(100_000)}`)).toBe(true);
  expect(table.hasEntity('ing'.repeat(30_000))).toBe(false);
});

it('reads the table unzipped too', () => {
  expect(loadEntityTable(gunzipSync(packed)).hasEntity('dogs')).toBe(true);
});

describe('refuses', () => {
  const text = gunzipSync(packed).toString('utf8');
  const utf8 = (value: string) => new TextEncoder().encode(value);

  it.each([
    ['nothing', new Uint8Array(0)],
    ['another file', utf8('{}\n')],
    ['half a gzip', packed.subarray(0, packed.length / 2)],
    ['a table cut in a line', utf8(text.slice(0, text.length / 2))],
    ['a table cut after a line', utf8(text.slice(0, text.indexOf('!adj')))],
    ['a state that is none', utf8(text.replace('\n=o--o\n', '\n=o-?o\n'))],
    ['a group without its first lemma', utf8(text.replace(/\n=o--o\n.*\n/, '\n=o--o\n'))],
  ])('%s', (_, bytes) => {
    expect(() => loadEntityTable(bytes)).toThrow(MetadataError);
    expect(() => loadEntityTable(bytes)).toThrow(/assets\/wordnet/);
  });
});
