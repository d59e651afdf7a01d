import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { conceptsPath } from '../../../cli/heads/concepts.ts';
import { openHead } from '../../../cli/heads/store.ts';
import { wantModels } from '../../../cli/jobs/models.ts';
import { type ConceptFile, parseConcepts } from '../../../src/safety/heads/concepts.ts';
import { headRunner } from '../../../src/safety/heads/run.ts';
import { cli } from '../../helpers/cli.ts';
import { scratch } from '../../helpers/tmp.ts';
import { numbers } from './support.ts';

const good: ConceptFile = {
  name: 'mine',
  concepts: { cats: ['a cat', 'a kitten'], dogs: ['a dog'] },
  neutral: ['a house', 'the sea'],
};

describe('a concept file that cannot be used names the field and the fix', () => {
  test.each<[string, unknown, RegExp]>([
    [
      'an empty prompt',
      { ...good, concepts: { cats: ['a cat', '  '] } },
      /concepts\.cats\.1: is an empty prompt: write/,
    ],
    ['an empty neutral prompt', { ...good, neutral: [''] }, /neutral\.0: is an empty prompt/],
    ['a number', { ...good, concepts: { cats: [7] } }, /concepts\.cats\.0: must be text/],
    ['no prompts', { ...good, concepts: { cats: [] } }, /concepts\.cats: needs at least one prompt/],
    ['no concepts', { ...good, concepts: {} }, /concepts: needs at least one concept/],
    ['no neutral ones', { ...good, neutral: undefined }, /neutral: must be a list of prompts/],
    ['a name that is no column', { ...good, concepts: { 'Big cats': ['x'] } }, /concepts/],
    ['a prompt twice', { ...good, neutral: ['A cat '] }, /the prompt "A cat " stands there twice/],
    [
      'a name of our own columns',
      { ...good, name: 'punsafe' },
      /name: is a name of Shardsieve’s own columns/,
    ],
    ['a field too many', { ...good, prompts: [] }, /Unrecognized key: "prompts"/],
    ['no YAML', 'a: [', /is no YAML/],
  ])('%s', (_, value, message) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    expect(() => parseConcepts(text, 'c.yaml')).toThrow(message);
    expect(() => parseConcepts(text, 'c.yaml')).toThrow(
      /c\.yaml.*assets\/safety\/concepts\.yaml|c\.yaml.*one concept/,
    );
  });
});

test('the default file has the six categories and more neutral prompts than any concept', async () => {
  const file = parseConcepts(await readFile(conceptsPath(), 'utf8'), 'concepts.yaml');
  expect(Object.keys(file.concepts)).toEqual([
    'sexual_content',
    'graphic_violence',
    'hate_symbols',
    'self_harm',
    'drugs',
    'weapons',
  ]);
  for (const prompts of Object.values(file.concepts))
    expect(prompts.length).toBeLessThan(file.neutral.length);
});

test("a head of concepts: the model's own text tower and temperature, bound to its weights", async () => {
  const folder = await scratch();
  const path = join(folder, 'mine.json');
  await writeFile(path, JSON.stringify(good));
  const out = join(folder, 'mine.safetensors');
  const made = await cli(['heads', 'import', path, '--model', 'demo', '--out', out, '--json']);
  expect(made.stderr).toBe('');
  expect(JSON.parse(made.stdout)).toMatchObject({
    labels: ['cats', 'dogs'],
    columns: ['safety_cats', 'safety_dogs'],
  });
  const { head } = await openHead(out);

  const [wanted] = await wantModels({ models: ['demo'] });
  expect(head.info.space.weights_sha256).toEqual([wanted.entry['weights_sha256']]);
  const { clip, tokenizer } = await wanted.load();
  const texts = [...good.concepts['cats'], ...good.concepts['dogs'], ...good.neutral];
  const prompts = await clip.embedTexts(texts.map((text) => tokenizer.encode(text).ids));
  const image = numbers(clip.dim, 5).map((x) => x / Math.sqrt(clip.dim / 3));
  const e = texts.map((_, p) => {
    let cosine = 0;
    for (let k = 0; k < clip.dim; k++) cosine += image[k] * prompts[p * clip.dim + k];
    return Math.exp(clip.logitScale * cosine);
  });
  await clip.release();
  const [cats, dogs] = await (await headRunner(head)).run(image, 1);
  const neutral = e[3] + e[4];
  expect(cats).toBeCloseTo((e[0] + e[1]) / (e[0] + e[1] + neutral), 5);
  expect(dogs).toBeCloseTo(e[2] / (e[2] + neutral), 5);

  await writeFile(path, JSON.stringify({ ...good, neutral: ['very '.repeat(90)] }));
  const long = await cli(['heads', 'import', path, '--model', 'demo', '--out', out]);
  expect(long.code).toBe(2);
  expect(long.stderr).toMatch(/the prompt "very very.*fewer than 77 tokens/);

  const without = await cli(['heads', 'import', path, '--out', out]);
  expect(without.code).toBe(2);
  expect(without.stderr).toMatch(/Add --model MODEL/);
});
