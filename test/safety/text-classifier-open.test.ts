import { cp, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTextClassifier } from '../../cli/safety/text-classifier.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import { COMMIT, FakeHub, temporaryFolder } from '../hub/fake-hub.ts';

const BERT = fileURLToPath(new URL('../fixtures/text-classifier/bert/', import.meta.url));
const golden = JSON.parse(await readFile(join(BERT, 'golden.json'), 'utf8')) as {
  rows: [caption: string, ids: number[], scores: number[]][];
};
const [caption, , scores] = golden.rows[0];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

async function check(spec: string, options = {}): Promise<string> {
  const { classifier, ...about } = await openTextClassifier(spec, { threads: 1, worker: false, ...options });
  const found = await classifier.classify([caption]);
  await classifier.release();
  for (const [i, score] of scores.entries()) expect(found[i]).toBeCloseTo(score, 5);
  expect(about).toMatchObject({ name: expect.any(String), slug: expect.stringMatching(/^[a-z0-9_]+$/) });
  return [about.name, about.slug, about.revision].join(' ');
}

describe('a text classifier', () => {
  it('is opened from a folder, in a thread of its own too, its model in onnx/ or not', async () => {
    const own = join(folder.path, 'My Classifier');
    await cp(BERT, own, { recursive: true });
    expect(await check(`local-dir:${own}`, { worker: true })).toBe('My Classifier my_classifier ');
    await mkdir(join(own, 'onnx'));
    await rename(join(own, 'model.onnx'), join(own, 'onnx/model.onnx'));
    await rm(join(own, 'tokenizer_config.json'));
    await check(`local-dir:${own}`);
  });

  it('is opened from the hub, all files of one commit', async () => {
    const hub = new FakeHub();
    for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
      hub.add(file, await readFile(join(BERT, file), 'utf8'), false);
    }
    hub.add('onnx/model.onnx', new Uint8Array(await readFile(join(BERT, 'model.onnx'))));
    const options = {
      env: { HF_HUB_CACHE: folder.path },
      fetch: (url: string, init: RequestInit) => hub.handle(new Request(url, init)),
      sleep: async () => undefined,
    };
    expect(await check('hf-hub:org/name@v1', options)).toBe(`org/name name ${COMMIT}`);
    const asked = hub.urls('HEAD').map((url) => url.split('/resolve/')[1].split('/')[0]);
    expect(new Set(asked.slice(1))).toEqual(new Set([COMMIT]));
  });

  it.each(['config.json', 'tokenizer.json', 'model.onnx'])('without %s is refused by name', async (file) => {
    const own = join(folder.path, 'own');
    await cp(BERT, own, { recursive: true });
    await rm(join(own, file));
    await expect(openTextClassifier(`local-dir:${own}`)).rejects.toThrow(ModelError);
    await expect(openTextClassifier(`local-dir:${own}`)).rejects.toThrow(
      new RegExp(`no (onnx/)?${file}.*own`),
    );
  });

  it('must be named', async () => {
    await expect(openTextClassifier('demo')).rejects.toThrow(UsageError);
    await expect(openTextClassifier('nonsense')).rejects.toThrow(UsageError);
  });
});
