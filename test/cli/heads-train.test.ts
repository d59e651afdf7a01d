import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openHead } from '../../cli/heads/store.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { openEmbeddings } from '../../src/embeddings/files.ts';
import { headRunner } from '../../src/safety/heads/run.ts';
import { checkSpace, embeddingModel } from '../../src/safety/heads/space.ts';
import { openPool } from '../../src/select/pool.ts';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';

const DEMO = join(import.meta.dirname, '../../demo');

let folder: string;
let metadata: string;
/** uid and whether the drawing lies in a folder of animals. */
let labels: [string, number][];

beforeAll(async () => {
  folder = await scratch();
  metadata = join(folder, 'metadata');
  const shards = [0, 1].map((i) => join(DEMO, `shards/demo-0000${i}.tar`));
  const scored = await cli(['score', ...shards, '--model', 'demo', '--out', metadata, '-q']);
  expect(scored.code).toBe(0);
  labels = [];
  const pool = await openPool([openFolder(metadata, { readOnly: true })]);
  for await (const batch of pool.scan([{ name: 'url', as: 'text' }])) {
    for (const url of batch.texts('url')) labels.push(['', url?.includes('/animals/') ? 1 : 0]);
  }
  let row = 0;
  for await (const batch of pool.scan([{ name: 'uid', as: 'uid' }])) {
    const words = batch.uids();
    const hex = (word: number) => word.toString(16).padStart(8, '0');
    for (let i = 0; i < batch.rows; i++, row++)
      labels[row][0] = [1, 0, 3, 2].map((word) => hex(words[4 * i + word])).join('');
  }
});

function csv(rows: [string, number | string][], head = 'uid,label'): string {
  return `${[head, ...rows.map((row) => row.join(','))].join('\n')}\n`;
}

async function train(text: string, ...more: string[]) {
  await writeFile(join(folder, 'labels.csv'), text);
  const out = join(folder, 'animals.safetensors');
  const args = ['--embeddings', metadata, '--labels', 'labels.csv', '--out', out, ...more];
  return { out, ...(await cli(['heads', 'train', ...args], { cwd: folder })) };
}

test('a head is trained, tells what it is worth, and finds what it was trained to find', async () => {
  expect(labels.length).toBeGreaterThan(150);
  const { code, stdout, out } = await train(csv(labels), '--seed', '3', '--json');
  expect(code).toBe(0);
  const json = JSON.parse(stdout);
  expect(json).toMatchObject({ name: 'animals', labels: ['animals'], columns: ['safety_animals'] });
  const run = JSON.parse(await readFile(join(metadata, 'run.json'), 'utf8'));
  expect(json.space).toMatchObject({ name: 'demo', weights_sha256: [run.models.demo.weights_sha256] });
  expect(json.preprocess_fingerprint).toBe(run.models.demo.preprocess_fingerprint);
  const [held] = json.metrics.held_out;
  expect(held.fold_roc_auc).toHaveLength(5);
  expect(held.roc_auc.value).toBeGreaterThan(0.6);

  const { head } = await openHead(out);
  const { demo } = run.models;
  expect(checkSpace(head, embeddingModel('demo', head.info.space.dim, demo))).toEqual([]);
  const other = { ...demo, name: 'another', weights_sha256: 'f'.repeat(64) };
  expect(() => checkSpace(head, embeddingModel('demo', head.info.space.dim, other))).toThrow(
    /animals is for embeddings of demo, and these are of another: weights ffffffffffff…/,
  );
  const folderOf = openFolder(metadata, { readOnly: true });
  const pool = await openPool([folderOf]);
  const found: number[] = [];
  for (const { shard, rows } of pool.files) {
    const { data } = await (await openEmbeddings(folderOf, shard, 'demo', rows)).image();
    found.push(...(await (await headRunner(head)).run(data, rows)));
  }
  const mean = (label: number) => {
    const of = found.filter((_, i) => labels[i][1] === label);
    return of.reduce((sum, p) => sum + p, 0) / of.length;
  };
  expect(mean(1)).toBeGreaterThan(2 * mean(0));

  const again = await train(csv(labels), '--seed', '3');
  expect(await readFile(again.out)).toEqual(await readFile(out));
  expect(again.stdout).toMatch(/animals: \d+ labelled so.*\n {2}ROC-AUC +0\.\d{3} \(/);
  const info = await cli(['heads', 'info', out]);
  expect(info.stdout).toMatch(/at or above/);
});

describe('labels that cannot be used', () => {
  const line = (text: string) => `${csv(labels.slice(0, 20))}${text}\n`;
  test.each<[string, () => string, string[], RegExp]>([
    [
      'an unknown uid',
      () => line(`${'0'.repeat(32)},1`),
      [],
      /1 of 21 labelled uids are not in the metadata: 0{32}/,
    ],
    ['one class only', () => csv(labels.map(([uid]) => [uid, 0])), [], /every label is "0".*labels\.csv/],
    ['no such column', () => csv(labels, 'id,label'), [], /no column uid in their first line/],
    ['a uid that is none', () => line('abc,1'), [], /line 22: uid "abc" is not 32 hex digits/],
    ['an empty label', () => line(`${'1'.repeat(32)},`), [], /line 22: the label is empty/],
    ['a uid twice', () => line(`${labels[0][0]},1`), [], /line 22: uid \w+ stands in line 2 too/],
    ['a line with too many cells', () => line('a,b,c'), [], /line 22 has 3 cells, not 2/],
    ['an open quote', () => line('"abc,1'), [], /line 22 has broken cells/],
    [
      'two names, and not which is looked for',
      () => csv(labels.map(([uid, label]) => [uid, label ? 'animal' : '"no, other"'])),
      [],
      /which of animal, no, other is looked for is not said.*--positive/,
    ],
    [
      'too few for the folds',
      () => csv(labels),
      ['--folds', '100'],
      /labelled "1", too few for 100 folds.*labels\.csv/,
    ],
    ['another slug', () => csv(labels), ['--slug', 'b32'], /no model b32 made embeddings here.*demo/],
    ['no labels', () => 'uid,label\n', [], /there are no labels/],
  ])('%s', async (_, text, more, message) => {
    const { code, stderr } = await train(text(), ...more);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  test('names, quotes, a byte order mark and Windows lines are understood', async () => {
    const rows = labels.map(([uid, label]): [string, string] => [
      uid.toUpperCase(),
      label ? '"an ""animal"""' : 'no',
    ]);
    const text = `\ufeff${csv(rows).replaceAll('\n', '\r\n')}`;
    const { code, stdout, stderr } = await train(text, '--positive', 'an "animal"', '--json');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).metrics.classes).toEqual(['no', 'an "animal"']);
  });
});
