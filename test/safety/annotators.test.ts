import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { openNsfwjs } from '../../cli/safety/nsfwjs.ts';
import { openTextClassifier } from '../../cli/safety/text-classifier.ts';
import { builtInWords } from '../../cli/safety/words.ts';
import { textClassifierAnnotator, wordsAnnotator } from '../../src/annotate/captions.ts';
import { Looker } from '../../src/annotate/looks.ts';
import { hashesAnnotator, nsfwjsAnnotator } from '../../src/annotate/pictures.ts';
import { type AnnotateBatch, type Annotator, needsPictures } from '../../src/annotate/types.ts';
import { memorySource } from '../../src/io/memory.ts';
import { WordMatcher } from '../../src/safety/words/words.ts';
import { toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';

const reading = { decoder: createDecoder(), fit: 'open_clip' } as const;

/** The first pictures of a demo shard as they lie in it; one is absent, one is broken. */
async function pictures(): Promise<(Uint8Array | undefined)[]> {
  const shard = 'demo-00000.tar';
  const tar = new Uint8Array(await readFile(new URL(`../../demo/shards/${shard}`, import.meta.url)));
  const imageBytes: (Uint8Array | undefined)[] = [];
  for await (const sample of readSamples(memorySource(shard, tar).stream(), { shard })) {
    imageBytes.push(toPair(sample, { shardBase: shard }).image);
    if (imageBytes.length === 9) break;
  }
  imageBytes[2] = undefined;
  imageBytes[5] = Uint8Array.of(1, 2, 3);
  return imageBytes;
}

/** Checked against what the annotator says of itself, as the job does. */
async function columns(
  annotator: Annotator,
  batch: AnnotateBatch | (Uint8Array | undefined)[],
): Promise<unknown[][]> {
  const found = Array.isArray(batch) ? await judged(annotator, batch) : await told(annotator, batch);
  expect(found.map(({ name, type }) => ({ name, type }))).toEqual(annotator.schema);
  expect(annotator.entry.fingerprint).toBe(annotator.fingerprint);
  expect(annotator.fingerprint).toMatch(/^[0-9a-f]{32}$/);
  for (const { values } of found)
    expect(values.length).toBe(Array.isArray(batch) ? batch.length : batch.rows);
  return found.map(({ values }) => [...values]);
}

async function judged(annotator: Annotator, bytes: (Uint8Array | undefined)[]) {
  if (!needsPictures(annotator)) throw new Error('no picture is wanted');
  const [looks] = await new Looker([annotator.pictures], reading).look(bytes);
  return annotator.pictures.judge(looks);
}

async function told(annotator: Annotator, batch: AnnotateBatch) {
  if (needsPictures(annotator)) throw new Error('pictures are wanted');
  return annotator.columns(batch);
}

const golden = async (path: string) =>
  JSON.parse(await readFile(new URL(`../fixtures/${path}`, import.meta.url), 'utf8'));

describe('columns from pictures', () => {
  it('are NSFWJS’s probabilities, null where there is no picture', async () => {
    const model = await openNsfwjs({ threads: 1, worker: false });
    const annotator = nsfwjsAnnotator(model, reading);
    const visual = nsfwjsAnnotator(model, { ...reading, fit: 'visual' });
    expect(visual.fingerprint).not.toBe(annotator.fingerprint);
    const found = await columns(annotator, await pictures());
    await annotator.close?.();
    expect(annotator.schema.map(({ name }) => name)).toEqual(
      ['drawing', 'hentai', 'neutral', 'porn', 'sexy'].map((label) => `nsfw_nsfwjs_${label}`),
    );
    for (const values of found) expect([values[2], values[5]]).toEqual([null, null]);
    const { pictures: expected } = (await golden('nsfwjs/golden.json')) as { pictures: [string, number[]][] };
    for (const [row, index] of [
      [0, 0],
      [4, 1],
      [8, 2],
    ]) {
      for (const [k, value] of expected[index][1].entries()) expect(found[k][row]).toBeCloseTo(value, 4);
    }
  });

  it('are PDQ hashes with their quality, null where there is too little to go by', async () => {
    const batch = await pictures();
    const [, hashes, qualities] = await columns(hashesAnnotator(reading), batch);
    const { pictures: expected } = (await golden('pdq/golden.json')) as {
      pictures: Record<string, [string, number]>;
    };
    for (const [row, [hash, quality]] of Object.values(expected).slice(0, 9).entries()) {
      const there = row !== 2 && row !== 5;
      expect([hashes[row], qualities[row]]).toEqual(
        there ? [quality >= 50 ? hash : null, quality] : [null, null],
      );
    }
  });

  it('are SHA-256 of the bytes in the shard', async () => {
    const batch = await pictures();
    const [found] = await columns(hashesAnnotator(reading), batch);
    const expected = batch.map((bytes) =>
      bytes === undefined ? null : createHash('sha256').update(bytes).digest('hex'),
    );
    expect(found).toEqual(expected);
  });
});

describe('columns from captions', () => {
  const batch = (...text: (string | null)[]): AnnotateBatch => ({
    shard: 's',
    file: 'f',
    start: 0,
    rows: text.length,
    text,
  });

  it('are counts of a list’s entries', async () => {
    const lists = [{ name: 'mine', entries: ['knife'] }, await builtInWords('fr-CA-u-sd-caqc')];
    const annotator = wordsAnnotator(new WordMatcher(lists));
    expect(await columns(annotator, batch('a knife and a Knife', null, 'a pen'))).toEqual([[2, null, 0]]);
    expect(annotator.schema).toEqual([{ name: 'safety_words', type: 'int' }]);
    const other = wordsAnnotator(new WordMatcher([{ name: 'mine', entries: ['pen'] }]), 'mine');
    expect(await columns(other, batch('a knife', null, 'a pen'))).toEqual([[0, null, 1]]);
    expect(other.schema).toEqual([{ name: 'safety_words_mine', type: 'int' }]);
    expect(other.group).toBe('safety:words_mine');
  });

  it('are scores of a text classifier', async () => {
    const folder = fileURLToPath(new URL('../fixtures/text-classifier/bert', import.meta.url));
    const { classifier, name, slug } = await openTextClassifier(`local-dir:${folder}`, { worker: false });
    const annotator = textClassifierAnnotator(classifier, slug, { name });
    const { rows } = (await golden('text-classifier/bert/golden.json')) as {
      rows: [string, number[], number[]][];
    };
    const found = await columns(annotator, batch(rows[0][0], null, rows[1][0]));
    await annotator.close?.();
    expect(annotator.schema.map(({ name: column }) => column)).toEqual(
      ['toxic', 'obscene', 'threat'].map((label) => `safety_text_bert_${label}`),
    );
    for (const k of [0, 1, 2]) {
      expect(found[k][0]).toBeCloseTo(rows[0][2][k], 5);
      expect(found[k][1]).toBeNull();
      expect(found[k][2]).toBeCloseTo(rows[1][2][k], 5);
    }
  });
});
