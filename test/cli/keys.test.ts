import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { keyStore, parseKeys } from '../../functions/app/keys.ts';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';

const cwd = await scratch();
const file = join(cwd, 'keys.json');

test('keys are made, listed and revoked; the file holds hashes, for its owner alone', async () => {
  const made = await cli(['keys', 'new', 'laptop'], { cwd });
  expect(made.code).toBe(0);
  const key = made.stdout.trim();
  expect(key).toMatch(/^ssk_[\w-]{43}$/);
  const scoped = await cli(['keys', 'new', 'prometheus', '--scope', 'metrics', '--json'], { cwd });
  const other = (JSON.parse(scoped.stdout) as { key: string }).key;
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const text = await readFile(file, 'utf8');
  expect(text).not.toContain(key.slice(4));
  const find = async (asked: string) => keyStore(() => parseKeys(text, file)).find(asked);
  expect(await find(key)).toMatchObject({ name: 'laptop' });
  expect(await find(other)).toMatchObject({ name: 'prometheus', scopes: ['metrics'] });
  expect((await cli(['keys', 'revoke', 'laptop'], { cwd })).code).toBe(0);
  const after = await readFile(file, 'utf8');
  expect(await keyStore(() => parseKeys(after, file)).find(key)).toBeUndefined();
  const listed = await cli(['keys', 'list', '--json'], { cwd });
  expect(JSON.parse(listed.stdout)).toMatchObject([
    { name: 'laptop', scopes: ['score', 'shards', 'jobs', 'metrics'], revoked: expect.any(String) },
    { name: 'prometheus', scopes: ['metrics'] },
  ]);
});

test('what cannot be is refused with what to do', async () => {
  const refused = async (...args: string[]) => {
    const { code, stderr } = await cli(['keys', ...args], { cwd });
    return [code, stderr];
  };
  expect(await refused('new', 'laptop')).toEqual([2, expect.stringContaining('called laptop already')]);
  expect(await refused('new', 'a b', '--file', 'x.json')).toEqual([
    2,
    expect.stringContaining('letters, digits'),
  ]);
  expect(await refused('new', 'c', '--scope', 'all')).toEqual([
    2,
    expect.stringContaining('score, shards, jobs'),
  ]);
  expect(await refused('revoke', 'nobody')).toEqual([
    2,
    expect.stringContaining('no key is called "nobody"'),
  ]);
  expect(await refused('list', '--file', 'none.json')).toEqual([2, expect.stringContaining('keys new NAME')]);
  await writeFile(join(cwd, 'bad.json'), '[]');
  expect(await refused('new', 'c', '--file', 'bad.json')).toEqual([2, expect.stringContaining('bad.json')]);
});
