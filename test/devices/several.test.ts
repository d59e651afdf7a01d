import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cli } from '../helpers/cli.ts';
import { scratch, withoutTimes } from '../helpers/tmp.ts';

/** Copies of the model on one CPU stand for several devices: what is tested is how shards are spread over them. */

const SHARDS = ['0', '1', '2', '3'].map((n) => `demo/shards/demo-0000${n}.tar`);

async function score(
  out: string,
  more: string[],
): Promise<{ stdout: string; stderr: string; code: number | null }> {
  return cli([
    'score',
    ...SHARDS,
    '--model',
    'demo',
    '--sample',
    '0.2',
    '--out',
    out,
    '--threads',
    '1',
    ...more,
  ]);
}

it('several devices give the bytes of one, and each says what it is', async () => {
  const folder = await scratch();
  const [one, three] = [join(folder, 'one'), join(folder, 'three')];
  const alone = await score(one, ['--json']);
  const together = await score(three, ['--json', '--device', 'cpu,cpu', '--device', 'cpu']);
  expect([alone.code, together.code]).toEqual([0, 0]);
  expect(await withoutTimes(three)).toEqual(await withoutTimes(one));
  const [a, b] = [alone, together].map(({ stdout }) => JSON.parse(stdout));
  expect(b.towers).toHaveLength(3);
  for (const tower of [...a.towers, ...b.towers]) {
    expect(tower).toEqual({
      ...{ slug: 'demo', precision: 'fp32', device: 'cpu' },
      pictures_per_second: expect.any(Number),
      captions_per_second: expect.any(Number),
    });
    expect(Math.min(tower.pictures_per_second, tower.captions_per_second)).toBeGreaterThan(0);
  }
  // What took how long is no number of the pool.
  const { towers, stages, seconds } = a;
  expect({ ...b, towers, stages, seconds }).toEqual(a);
  expect(together.stderr.match(/model demo: fp32 on cpu; warm, [\d.]+ pictures\/s/g)).toHaveLength(3);
});

it('a shard that fails on one device stops none of the others', async () => {
  const out = join(await scratch(), 'metadata');
  const shards = [SHARDS[0], 'package.json', SHARDS[1]];
  const args = [
    'score',
    ...shards,
    '--model',
    'demo',
    '--sample',
    '0.1',
    '--out',
    out,
    '--device',
    'cpu,cpu',
  ];
  const { code, stdout } = await cli([...args, '--json']);
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ shards: { done: 2, failed: 1 } });
});

it('embed keeps the order of the shards', async () => {
  const folder = await scratch();
  const embed = (out: string, device: string) =>
    cli([
      'embed',
      ...SHARDS.slice(0, 2),
      '--model',
      'demo',
      '--threads',
      '1',
      '--out',
      join(folder, out),
      '--device',
      device,
    ]);
  expect(await embed('one.npy', 'cpu')).toMatchObject({ code: 0 });
  expect(await embed('two.npy', 'cpu,cpu')).toMatchObject({ code: 0 });
  const [one, two] = await Promise.all(['one.npy', 'two.npy'].map((name) => readFile(join(folder, name))));
  expect(two.equals(one)).toBe(true);
});
