import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadMerges } from '../../cli/vocab.ts';
import { createTokenizer, type Tokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { ModelError, UsageError } from '../../src/errors.ts';

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../fixtures/tokenizer/${name}`, import.meta.url));

let merges: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  merges = await loadMerges();
  tokenizer = createTokenizer(merges);
});

describe("open_clip's own ids", () => {
  it('are given for every golden caption, with the same ones cut', () => {
    const rows = gunzipSync(fixture('captions.jsonl.gz')).toString('utf8').trimEnd().split('\n');
    expect(rows.length).toBeGreaterThan(2400);
    let cut = 0;
    for (const row of rows) {
      const [caption, ids, truncated] = JSON.parse(row) as [string, number[], boolean];
      const got = tokenizer.encode(caption);
      expect([[...got.ids], got.truncated], JSON.stringify(caption)).toEqual([ids, truncated]);
      if (truncated) cut++;
    }
    expect(cut).toBeGreaterThan(100);
  });

  it('are given for code points of every block, alone and beside others', () => {
    const long = createTokenizer(merges, { contextLength: 1 << 16 });
    const digests = Object.entries(
      JSON.parse(fixture('code-points.json').toString()) as Record<string, string>,
    );
    expect(digests.length).toBeGreaterThan(300);
    const wrong = digests.filter(([block, digest]) => {
      const { ids, truncated } = long.encode(codePointLines(Number.parseInt(block, 16)));
      const hash = createHash('sha256').update(new Uint8Array(ids.buffer)).digest('hex');
      return truncated || !hash.startsWith(digest);
    });
    expect(wrong).toEqual([]);
  });
});

describe('truncation', () => {
  it('starts where 75 tokens end, and puts the end mark last', () => {
    const fits = tokenizer.encode('cat '.repeat(75));
    expect([fits.ids.length, fits.ids[76], fits.truncated]).toEqual([77, 49407, false]);
    const cut = tokenizer.encode('cat '.repeat(76));
    expect([cut.ids.length, cut.ids[75], cut.ids[76], cut.truncated]).toEqual([77, 2368, 49407, true]);
  });

  it('follows the context length', () => {
    const short = createTokenizer(merges, { contextLength: 4 });
    expect(short.contextLength).toBe(4);
    expect([...short.encode('a cat').ids]).toEqual([49406, 320, 2368, 49407]);
    expect(short.encode('a cat').truncated).toBe(false);
    expect([...short.encode('a black cat').ids]).toEqual([49406, 320, 1449, 49407]);
    expect([...createTokenizer(merges, { contextLength: 2 }).encode('cat').ids]).toEqual([49406, 49407]);
  });
});

describe('byte pairs', () => {
  it('are merged as the plain rule says, in words of any length', () => {
    const long = createTokenizer(merges, { contextLength: 1024 });
    const letters = fc.string({
      unit: fc.constantFrom(...'aeinorst', 'th', 'ing', 'ab', 'é'),
      minLength: 1,
      maxLength: 120,
    });
    fc.assert(
      fc.property(letters, (word) => {
        expect([...long.encode(word).ids].slice(1, -1), word).toEqual(plainBytePairs(word, merges));
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});

describe('any string', () => {
  it('gives ids of the vocabulary between the marks, and the same ones again', () => {
    const property = fc.property(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.nat(20),
      (text, surrogate) => {
        const caption = `${text}${String.fromCharCode(0xd7f8 + surrogate)}`;
        const { ids, truncated } = tokenizer.encode(caption);
        expect(ids.length).toBeGreaterThanOrEqual(2);
        expect(ids.length).toBeLessThanOrEqual(77);
        expect([ids[0], ids.at(-1)]).toEqual([49406, 49407]);
        expect(truncated && ids.length < 77).toBe(false);
        expect(ids.every((id) => id >= 0 && id < 49408)).toBe(true);
        expect(tokenizer.encode(caption).ids).toEqual(ids);
      },
    );
    fc.assert(property, { numRuns: 500, seed: 1 });
  });

  it('takes time in proportion to its length, where a plain reading of the rules takes its square', () => {
    // A square would take hours here; the test's own limit of a minute is the check.
    const chain = `é &${'amp;'.repeat(250_000)}lt;`;
    expect([...tokenizer.encode(chain).ids]).toEqual([...tokenizer.encode('é <').ids]);
    expect(tokenizer.encode('ab'.repeat(500_000)).truncated).toBe(true);
    expect(tokenizer.encode('Ã©'.repeat(250_000)).truncated).toBe(true);
    expect(tokenizer.encode('\u0301Σ'.repeat(250_000)).truncated).toBe(true);
    expect(tokenizer.encode(`a${'\u0301\u0316'.repeat(250_000)}`).truncated).toBe(true);
  });
});

describe('a vocabulary', () => {
  it('is taken as text, as bytes, gzipped, and whole as published', () => {
    const bytes = new TextEncoder().encode(merges);
    const zipped = readFileSync(new URL('../../assets/clip-vocab/merges.txt.gz', import.meta.url));
    const published = `"bpe_simple_vocab_16e6.txt#version: 0.2\n${merges}later merges\n`;
    for (const form of [bytes, new Uint8Array(zipped), published]) {
      expect(createTokenizer(form).encode("a cat's whiskers").ids).toEqual(
        tokenizer.encode("a cat's whiskers").ids,
      );
    }
  });

  it('is that of CLIP', () => {
    const hash = createHash('sha256').update(merges).digest('hex');
    expect(hash).toBe('d308b7377a8ceaa9707a21614fe8c831b9196e197b7aeb69833359362907af02');
  });

  it.each([
    ['empty', ''],
    ['cut short', 'i n\nt h\n'],
    ['of three symbols', 'i n g\n'],
    ['of unknown symbols', 'in g\n'],
    ['with a merge twice', 'i n\ni n\n'],
    ['not UTF-8', Uint8Array.of(0xff, 0xfe)],
    ['a broken gzip', Uint8Array.of(0x1f, 0x8b, 8, 0, 1)],
  ])('is refused when it is %s', (_, broken) => {
    expect(() => createTokenizer(broken)).toThrow(ModelError);
  });

  it('is refused with a context that has no room', () => {
    for (const contextLength of [1, 0, -1, 2.5, Number.NaN]) {
      expect(() => createTokenizer(merges, { contextLength })).toThrow(UsageError);
    }
  });
});

/** As `code_point_lines` of tools/oracle/tokenizer_goldens.py. */
function codePointLines(block: number): string {
  const lines: string[] = [];
  for (let point = block << 8; point < (block + 1) << 8; point++) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const c = String.fromCodePoint(point);
    lines.push(`${c} a${c}b1${c}#${c}'s A${c}Σ e${c}\u0301 Ã${c}`);
  }
  return lines.join('\n');
}

let ranks: Map<string, number> | undefined;
let made: Map<string, number> | undefined;

/** Sennrich's rule on strings of GPT-2's stand-ins for bytes: merge the earliest known pair everywhere, again. */
function plainBytePairs(word: string, text: string): number[] {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const alphabet = [...bytes.filter(printable), ...bytes.filter((byte) => !printable(byte))];
  const standIn = (byte: number) =>
    String.fromCharCode(
      printable(byte) ? byte : 256 + alphabet.indexOf(byte) - bytes.filter(printable).length,
    );
  ranks ??= new Map(
    text
      .trimEnd()
      .split('\n')
      .map((line, rank) => [line, rank]),
  );
  let symbols = Array.from(new TextEncoder().encode(word), standIn);
  symbols[symbols.length - 1] += '</w>';
  for (;;) {
    const known = symbols
      .slice(1)
      .map((right, i) => ranks!.get(`${symbols[i]} ${right}`) ?? Number.POSITIVE_INFINITY);
    const best = Math.min(...known, Number.POSITIVE_INFINITY);
    if (best === Number.POSITIVE_INFINITY) break;
    const merged: string[] = [];
    for (let i = 0; i < symbols.length; i++)
      merged.push(known[i] === best ? symbols[i] + symbols[++i] : symbols[i]);
    symbols = merged;
  }
  made ??= new Map([...ranks].map(([pair, rank]) => [pair.replace(' ', ''), rank + 512]));
  const end = (symbol: string) => symbol.endsWith('</w>');
  return symbols.map((symbol) => {
    const byte = alphabet.findIndex(
      (value) => standIn(value) === (end(symbol) ? symbol.slice(0, -4) : symbol),
    );
    return made!.get(symbol) ?? byte + (end(symbol) ? 256 : 0);
  });
}
