import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { cli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');

beforeAll(async () => {
  await writePool(pool, 1, 40);
});

function score(out: string, prefix = ''): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = `${prefix} exec "${process.execPath}" cli/main.ts score "${pool}" --model demo --out "${out}" --quiet`;
  return new Promise((resolve) => {
    execFile(
      '/bin/sh',
      ['-c', command],
      { cwd: join(import.meta.dirname, '../..') },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}

test('an output that cannot grow (a full disk, a quota) is a clear error and leaves no half file', async () => {
  const out = join(folder, 'full');
  // 512-byte blocks: run.json fits, the npz of 40 rows does not.
  const result = await score(out, 'trap "" XFSZ; ulimit -f 8;');
  expect(result.code).toBe(1);
  expect(result.stderr).toMatch(/^error: .*00000/m);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expect(await readdir(out)).toEqual(['run.json', 'unfinished.json']);
  expect((await score(out)).code).toBe(0);
});

test('an output folder below a file is refused by name', async () => {
  const file = join(folder, 'a-file');
  await writeFile(file, '');
  const result = await score(join(file, 'out'));
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('a-file');
  expect(result.stderr).not.toMatch(/\n\s+at /);
});

test.skipIf(process.getuid?.() === 0)('a read-only folder is refused by name', async () => {
  const out = join(folder, 'readonly');
  await mkdir(out);
  await chmod(out, 0o555);
  const result = await score(out);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('readonly');
});

test("somebody else's folder is never written to", async () => {
  const out = join(folder, 'theirs');
  await mkdir(out);
  await writeFile(join(out, 'thesis.txt'), 'three years of work');
  const result = await score(out);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('not empty');
  expect([...(await filesOf(out)).keys()]).toEqual(['thesis.txt']);
});

test('new shards are not written among their inputs, not even through a link', async () => {
  const metadata = join(folder, 'metadata');
  const subset = join(folder, 'subset.npy');
  expect((await score(metadata)).code).toBe(0);
  expect((await cli(['select', metadata, '--fraction', '0.5', '--out', subset])).code).toBe(0);
  const link = join(folder, 'link');
  await symlink(pool, link);
  const before = await filesOf(pool);
  const result = await cli(['reshard', pool, '--subset', subset, '--out', link, '--quiet']);
  expect(result.code).toBe(2);
  expect(result.stderr).toContain('among their inputs');
  expect(await filesOf(pool)).toEqual(before);
});
