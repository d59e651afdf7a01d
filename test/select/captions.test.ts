import { expect, it } from 'vitest';
import { codePoints, fasttextTokens, isPythonSpace, wordCount } from '../../src/select/captions.ts';
import { fixtureJson } from '../helpers/fixtures.ts';

type Golden = [text: string, words: number, points: number, tokens: number];
const goldens = fixtureJson<Golden[]>('baselines/captions.json');

it('counts words as str.split, code points as len, tokens as fasttext.tokenize', () => {
  const ours = goldens.map(
    ([text]): Golden => [text, wordCount(text), codePoints(text), fasttextTokens(text)],
  );
  expect(ours).toEqual(goldens);
});

it('splits at what Python 3.11 calls a space, all 29 of them', () => {
  const spaces = Array.from({ length: 0x10000 }, (_, unit) => unit).filter(isPythonSpace);
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  expect(spaces).toEqual([
    ...range(0x09, 0x0d),
    ...range(0x1c, 0x20),
    0x85,
    0xa0,
    0x1680,
    ...range(0x2000, 0x200a),
    0x2028,
    0x2029,
    0x202f,
    0x205f,
    0x3000,
  ]);
});

it('counts a surrogate without its other half as one', () => {
  expect(codePoints('\ud83d')).toBe(1);
  expect(codePoints('\ude00\ud83d')).toBe(2);
  expect(codePoints('\ud83d\ud83d\ude00\ude00')).toBe(3);
});

it('may stop counting where there are enough', () => {
  for (const text of ['', 'a', 'one two three four', ' \u2003x\u0085y ', '😀😀😀', 'a😀b😀']) {
    for (let enough = 1; enough < 8; enough++) {
      expect(Math.min(wordCount(text, enough), enough)).toBe(Math.min(wordCount(text), enough));
      expect(Math.min(codePoints(text, enough), enough)).toBe(Math.min(codePoints(text), enough));
    }
  }
});
