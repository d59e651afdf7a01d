import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelFile } from '../../cli/onnx/files.ts';
import { nodeSessions } from '../../cli/onnx/session.ts';
import { ModelError } from '../../src/errors.ts';
import { readSignature } from '../../src/onnx/signature.ts';
import {
  loadTextClassifier,
  type TextClassifier,
  type TextClassifierFiles,
} from '../../src/safety/text/classifier.ts';
import { parseTextConfig } from '../../src/safety/text/config.ts';
import { createTextTokenizer } from '../../src/safety/text/tokenizer.ts';

const fixtures = new URL('../fixtures/text-classifier/', import.meta.url);

interface Golden {
  labels: string[];
  rows: [caption: string, ids: number[], scores: number[]][];
}

async function read(name: string) {
  const text = (file: string) => readFile(new URL(`${name}/${file}`, fixtures), 'utf8');
  const files: TextClassifierFiles = {
    model: new Uint8Array(await readFile(new URL(`${name}/model.onnx`, fixtures))),
    config: await text('config.json'),
    tokenizer: await text('tokenizer.json'),
    tokenizerConfig: await text('tokenizer_config.json'),
    name,
  };
  const golden = JSON.parse(await text('golden.json')) as Golden;
  const file = await modelFile(fileURLToPath(new URL(`${name}/model.onnx`, fixtures)));
  return { files, golden, sessions: nodeSessions(file, { threads: 1, worker: false }) };
}

describe.each([
  ['bert', 'sigmoid', 30],
  ['roberta', 'softmax', 48],
] as const)('%s', (name, activation, maxTokens) => {
  let golden: Golden;
  let files: TextClassifierFiles;
  let classifier: TextClassifier;
  beforeAll(async () => {
    const found = await read(name);
    ({ golden, files } = found);
    classifier = await loadTextClassifier(files, found.sessions);
  });
  afterAll(() => classifier.release());

  it('has the tokens of tokenizers, cut as it cuts', () => {
    const config = JSON.parse(files.tokenizerConfig ?? '');
    const { maxTokens: limit } = parseTextConfig(JSON.parse(files.config), config);
    expect(limit).toBe(maxTokens);
    expect(golden.rows.some(([, ids]) => ids.length === maxTokens)).toBe(true);
    const tokenizer = createTextTokenizer(JSON.parse(files.tokenizer), config, limit);
    for (const [caption, ids] of golden.rows) {
      expect([caption, tokenizer.encode(caption)]).toEqual([caption, ids]);
    }
  });

  it('has the scores of transformers, in any batch', async () => {
    expect(classifier.labels).toEqual(golden.labels);
    expect(classifier.activation).toBe(activation);
    const captions = golden.rows.map(([caption]) => caption);
    const expected = golden.rows.flatMap(([, , scores]) => scores);
    const together = await classifier.classify([null, ...captions]);
    const width = golden.labels.length;
    expect([...together.subarray(0, width)]).toEqual(golden.labels.map(() => Number.NaN));
    for (const [i, score] of expected.entries()) expect(together[width + i]).toBeCloseTo(score, 5);
    const alone = await classifier.classify(captions.slice(2, 3));
    for (const [i, score] of golden.rows[2][2].entries()) expect(alone[i]).toBeCloseTo(score, 5);
    expect(await classifier.classify([])).toEqual(new Float32Array(0));
  });
});

describe('what a model takes and gives', () => {
  it('is read from its bytes', async () => {
    const { files } = await read('bert');
    expect(readSignature(files.model, 'm')).toEqual({
      inputs: ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => ({ name, type: 'int64' })),
      outputs: [{ name: 'logits', type: 'float32' }],
    });
  });

  it.each([[new Uint8Array(0)], [new TextEncoder().encode('no model at all')], [Uint8Array.of(58, 200, 1)]])(
    'is refused where there is none',
    (bytes) => {
      expect(() => readSignature(bytes, 'm.onnx')).toThrow(/no ONNX model.*file m\.onnx/);
    },
  );
});

describe('a config', () => {
  const config = (more: object) => ({ id2label: { 0: 'a', 1: 'b' }, max_position_embeddings: 512, ...more });

  it('says how logits become scores, by the rules of transformers', () => {
    const of = (more: object) => parseTextConfig(config(more), {}).activation;
    expect(of({})).toBe('softmax');
    expect(of({ problem_type: null })).toBe('softmax');
    expect(of({ id2label: { 0: 'toxic' } })).toBe('sigmoid');
    expect(of({ id2label: { 0: 'toxic' }, problem_type: 'regression' })).toBe('none');
    expect(() => of({ problem_type: 'other' })).toThrow(/problem_type "other".*config\.json/);
  });

  it.each<[string, unknown, RegExp]>([
    ['none', [], /no JSON object.*c\.json/],
    ['no labels', {}, /no id2label.*c\.json/],
    ['a gap in its labels', { id2label: { 0: 'a', 2: 'b' } }, /no label 1 in id2label.*c\.json/],
  ])('with %s is refused', (_, value, message) => {
    expect(() => parseTextConfig(value, {}, 'c.json')).toThrow(ModelError);
    expect(() => parseTextConfig(value, {}, 'c.json')).toThrow(message);
  });
});

describe('files that do not belong together', () => {
  const broken = async (change: Partial<TextClassifierFiles>) => {
    const { files, sessions } = await read('bert');
    return loadTextClassifier({ ...files, ...change }, sessions);
  };

  it('are refused by name', async () => {
    await expect(broken({ tokenizer: '{' })).rejects.toThrow(/not JSON.*bert\/tokenizer\.json/);
    await expect(broken({ tokenizer: '{}' })).rejects.toThrow(
      /tokenizer cannot be used.*bert\/tokenizer\.json/,
    );
    await expect(broken({ config: '[]' })).rejects.toThrow(/bert\/config\.json/);
    const clip = new URL('../clip/', fixtures);
    const bytes = new Uint8Array(await readFile(new URL('gelu-f32/open_clip_model.safetensors', clip)));
    await expect(broken({ model: bytes })).rejects.toThrow(/no ONNX model.*bert/);
  });

  it('show at the first run where only the number of labels is wrong', async () => {
    const classifier = await broken({ config: JSON.stringify({ id2label: { 0: 'a', 1: 'b' } }) });
    await expect(classifier.classify(['x'])).rejects.toThrow(/1 rows of 2 labels.*id2label/);
    await classifier.release();
  });
});
