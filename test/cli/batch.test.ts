import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';

const SHARD = join(import.meta.dirname, '../../demo/shards/demo-00000.tar');
const root = await scratch();

async function score(name: string, ...args: string[]): Promise<{ files: Buffer[]; stderr: string }> {
  const out = join(root, name);
  const run = await cli(['score', SHARD, '--model', 'demo', '--out', out, ...args]);
  expect(run.code, run.stderr).toBe(0);
  const names = ['demo-00000.parquet', 'demo-00000.npz', 'run.json'];
  return { files: await Promise.all(names.map((file) => readFile(join(out, file)))), stderr: run.stderr };
}

test('on a CPU the batch shows in no byte, and auto says what it found', async () => {
  const [plain, odd, auto] = [
    await score('a'),
    await score('b', '--batch', '3'),
    await score('c', '--batch', 'auto'),
  ];
  expect(odd.files).toEqual(plain.files);
  expect(auto.files).toEqual(plain.files);
  expect(auto.stderr).toMatch(/\d+ pictures at once are quickest here \(pictures\/s by size: 2: /);
  expect(plain.stderr).not.toMatch(/at once/);
});

test('a batch that is none is a usage error', async () => {
  const run = await cli(['score', SHARD, '--model', 'demo', '--out', join(root, 'd'), '--batch', '0']);
  expect([run.code, run.stdout]).toEqual([2, '']);
  expect(run.stderr).toMatch(/auto or a whole number from 1 to 1024/);
});
