import { gunzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { createLanguages, type Languages } from '../../cli/language/languages.ts';
import { ModelError } from '../../src/errors.ts';
import { fixture } from '../helpers/fixtures.ts';

interface Golden {
  text: string;
  fasttext: [string, number];
  cld3: [string, number];
}

function goldens(file: string): Golden[] {
  const lines = gunzipSync(fixture(`language/${file}`))
    .toString('utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as Golden);
}

const opened: Languages[] = [];
afterAll(() => Promise.all(opened.map((languages) => languages.close())));

function open(options: Parameters<typeof createLanguages>[0] = {}): Languages {
  const languages = createLanguages({ threads: 2, ...options });
  opened.push(languages);
  return languages;
}

const golden = goldens('captions.jsonl.gz');
const texts = golden.map(({ text }) => text);
const small = new URL('../fixtures/language/small.bin', import.meta.url).pathname;

test('the fixture asks what it should: many languages, odd strings, both kinds of answer', () => {
  expect(golden.length).toBeGreaterThan(1000);
  expect(new Set(golden.map(({ fasttext }) => fasttext[0])).size).toBeGreaterThan(30);
  expect(new Set(golden.map(({ cld3 }) => cld3[0])).size).toBeGreaterThan(30);
  for (const odd of ['', '\0', 'a </s> b', '\n']) expect(texts).toContain(odd);
});

test('fastText: every label and probability is that of PyPI’s fasttext', async () => {
  const found = await (await open().detector('fasttext')).detect(texts);
  golden.forEach(({ text, fasttext }, i) => {
    expect([text, found[i]?.language, found[i]?.probability]).toEqual([text, ...fasttext]);
  });
});

test('CLD3: every language is that of PyPI’s gcld3, probabilities to 1e-5', async () => {
  const found = await (await open().detector('cld3')).detect(texts);
  golden.forEach(({ text, cld3 }, i) => {
    expect([text, found[i]?.language]).toEqual([text, cld3[0]]);
    expect(Math.abs(found[i]!.probability - cld3[1])).toBeLessThan(1e-5);
  });
});

test('an uncompressed model, as lid.176.bin is one', async () => {
  const answers = goldens('small.jsonl.gz');
  const detector = await open({ lid: small }).detector('fasttext');
  const found = await detector.detect(answers.map(({ text }) => text));
  answers.forEach(({ text, fasttext }, i) => {
    expect([text, found[i]?.language]).toEqual([text, fasttext[0]]);
    expect(found[i]?.probability).toBeCloseTo(fasttext[1], 6);
  });
  expect(new Set(found.map((one) => one?.language)).size).toBeGreaterThan(5);
});

test('answers do not depend on threads, batches, neighbours or order; null stays null', async () => {
  const many = [...texts, null, ...texts.toReversed(), null];
  const one = await (await open({ threads: 1 }).detector('fasttext')).detect(many);
  const three = await open({ threads: 3 }).detector('fasttext');
  expect(await three.detect(many)).toEqual(one);
  expect(one[texts.length]).toBeNull();
  expect(one.slice(texts.length + 1, -1)).toEqual(one.slice(0, texts.length).toReversed());
  const together = await Promise.all([three.detect(texts.slice(0, 50)), three.detect(texts.slice(50, 100))]);
  expect(together.flat()).toEqual(one.slice(0, 100));
  expect(await three.detect([])).toEqual([]);
});

test('the fingerprint is the detector’s, the model’s and its parameters’', async () => {
  const languages = open();
  const [fasttext, cld3] = [await languages.detector('fasttext'), await languages.detector('cld3')];
  const other = await open({ lid: small }).detector('fasttext');
  expect(new Set([fasttext.fingerprint, cld3.fingerprint, other.fingerprint]).size).toBe(3);
  expect((await open({ threads: 1 }).detector('fasttext')).fingerprint).toBe(fasttext.fingerprint);
  expect(fasttext.entry).toMatchObject({ model: 'lid.176.ftz', library: 'fasttext.wasm.js 1.0.0' });
});

test('what is no model is refused, and says which file', async () => {
  const missing = open({ lid: '/nowhere/lid.bin' }).detector('fasttext');
  await expect(missing).rejects.toThrow(ModelError);
  await expect(missing).rejects.toThrow('/nowhere/lid.bin');
  const wrong = await open({ lid: new URL(import.meta.url).pathname }).detector('fasttext');
  await expect(wrong.detect(['x'])).rejects.toThrow(
    /not a model that fastText can load.*detectors\.test\.ts/,
  );
});

test('closed, it answers no more and keeps nothing waiting', async () => {
  const languages = createLanguages({ threads: 1 });
  const detector = await languages.detector('cld3');
  await detector.detect(['hello']);
  await languages.close();
  await expect(detector.detect(['hello'])).rejects.toThrow('closed');
});
