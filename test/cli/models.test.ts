import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const empty = { env: { HF_HOME: join(folder, 'hub') } };

test('list names every alias with its slug, the default first, and says what is here', async () => {
  const { code, stdout } = await cli(['models', 'list', '--json'], empty);
  expect(code).toBe(0);
  const rows = JSON.parse(stdout) as { alias: string; slug: string; cached: boolean; isDefault: boolean }[];
  expect(rows[0]).toMatchObject({
    alias: 'datacomp-b32-256',
    slug: 'dcb32_256',
    isDefault: true,
    cached: false,
  });
  expect(rows.find(({ alias }) => alias === 'openai-b32')?.slug).toBe('b32');
  expect(rows.find(({ alias }) => alias === 'openai-l14')?.slug).toBe('l14');
  expect(rows.find(({ alias }) => alias === 'demo')?.cached).toBe(true);
});

test('pull tests the model on two built-in pictures and prints what it got', async () => {
  const { code, stdout, stderr } = await cli(['models', 'pull', 'demo'], empty);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(stdout).toContain('strawberry');
  expect(stdout).toContain('each picture is nearest to its own caption');
});

test('info describes a model that is here, and says how to get one that is not', async () => {
  const here = await cli(['models', 'info', 'demo', '--json'], empty);
  expect(JSON.parse(here.stdout)).toMatchObject({
    slug: 'demo',
    precision: 'fp32',
    architecture: { embedDim: 128, quickGelu: false },
  });
  const absent = await cli(['models', 'info', 'openai-l14'], empty);
  expect(absent.code).toBe(1);
  expect(absent.stderr).toContain('shardsieve models pull openai-l14');
});
