import shipped from 'naughty-words';
import { describe, expect, it } from 'vitest';
import { builtInWords } from '../../cli/safety/words.ts';
import { UsageError } from '../../src/errors.ts';
import { parseWordList, WordMatcher } from '../../src/safety/words/words.ts';

const matcher = (...entries: string[]) => new WordMatcher([{ name: 'list', entries }]);
const count = (words: WordMatcher, text: string) => {
  const counts = new Uint16Array(words.names.length);
  words.count(text, counts);
  return [...counts];
};

describe('an entry', () => {
  const words = matcher(
    'gun',
    'hot pan',
    'Straße',
    'été',
    'a$$',
    'слово',
    '武器',
    '爽',
    'ปืน',
    '총알',
    '🔫',
    'c++',
  );

  it.each<[string, number]>([
    ['gun', 1],
    ['a GUN!', 1],
    ['guns', 0],
    ['begun', 0],
    ['gun2', 0],
    ['gun_metal', 1],
    ["the gun's grip", 1],
    ['gun, gun; “gun”', 3],
    ['a\u0301gun', 0],
    ['gun\u0301', 0],
    ['ｇｕｎ 𝐠𝐮𝐧 gu\u200Bn gu\u00ADn', 4],
    ['hot pan', 1],
    ['hot-pan hot  \n pan hot—pan', 3],
    ['hot, pan', 0],
    ['hot panda', 0],
    ['STRASSE straße', 1],
    ['été e\u0301te\u0301 ete', 2],
    ['pa$$ a$$ a$$x', 2],
    ['Слово словом', 1],
    ['这是武器店', 1],
    ['武器武器', 2],
    ['爽快 很爽', 0],
    ['很 爽。', 1],
    ['มีปืนอยู่', 1],
    ['총알이 권총알', 1],
    ['x🔫y 🔫', 2],
    ['c++ c+', 1],
    ['', 0],
  ])('in "%s": %d', (text, expected) => {
    expect(count(words, text)).toEqual([expected]);
  });

  it('does not count again inside a longer one', () => {
    const nested = matcher('black cat', 'cat', 'black', 'cat burglar');
    expect(count(nested, 'a black cat burglar and a cat')).toEqual([2]);
  });

  it('counts for each list that has it', () => {
    const two = new WordMatcher([
      { name: 'a', entries: ['knife', 'bomb'] },
      { name: 'b', entries: ['Bomb', 'bomb', ' '] },
    ]);
    expect(two.names).toEqual(['a', 'b']);
    expect(two.entries).toBe(2);
    expect([...two.countAll(['knife and bomb', null, 'bomb bomb'])]).toEqual([2, 1, 0, 0, 2, 2]);
  });
});

describe('lists', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  it('are read from files', () => {
    const list = parseWordList('mine', bytes('# mine\nknife\n\nhot  pan # two words\nC#\n'), 'mine.txt');
    expect(list.entries).toEqual(['knife', 'hot  pan', 'C#']);
    expect(count(new WordMatcher([list]), 'C# knife, hot pan')).toEqual([3]);
  });

  it.each<[string, RegExp]>([
    ['knife\n--\n', /line 2 .*file mine\.txt/],
    ['\u200B\u00AD\n', /line 1 .*file mine\.txt/],
    ['# none\n', /no entry.*mine\.txt/],
  ])('%j is refused', (text, message) => {
    expect(() => parseWordList('mine', bytes(text), 'mine.txt')).toThrow(UsageError);
    expect(() => parseWordList('mine', bytes(text), 'mine.txt')).toThrow(message);
  });

  it('have a fingerprint that knows entries and names, not their order', () => {
    const of = (name: string, ...entries: string[]) => new WordMatcher([{ name, entries }]).fingerprint;
    expect(of('a', 'x', 'y')).toBe(of('a', 'Y', 'x', 'x'));
    expect(of('a', 'x', 'y')).not.toBe(of('a', 'x'));
    expect(of('a', 'x')).not.toBe(of('b', 'x'));
  });

  it('come with the package, and each finds its own entries', async () => {
    expect(Object.keys(shipped).length).toBe(28);
    for (const language of Object.keys(shipped)) {
      const list = await builtInWords(language);
      const words = new WordMatcher([list]);
      const missed = list.entries.filter((entry) => count(words, `… ${entry} …`)[0] !== 1);
      expect([language, missed.length]).toEqual([language, 0]);
    }
    await expect(builtInWords('xx')).rejects.toThrow(/xx.*Lists exist for ar, cs/);
  });
});
