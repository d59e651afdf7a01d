import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { cli, startCli } from '../helpers/cli.ts';
import { writePool } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const pool = join(folder, 'pool');

function args(out: string): string[] {
  return ['filter', pool, '--model', 'demo', '--fraction', '0.3', '--out', out, '--quiet', '--threads', '1'];
}

/** What must not depend on how often a run was killed: all but the stats, which hold the times. */
async function results(out: string): Promise<Map<string, string>> {
  const files = [...(await filesOf(out))].filter(([name]) => !/^metadata\/.*_stats\.json$/.test(name));
  return new Map(files.map(([name, bytes]) => [name, bytes.toString('base64')]));
}

let undisturbed: Map<string, string>;
beforeAll(async () => {
  await writePool(pool, 6, 40);
  const out = join(folder, 'undisturbed');
  expect((await cli(args(out))).code).toBe(0);
  undisturbed = await results(out);
});

test('killed at random points and run again, the bytes are those of an undisturbed run', async () => {
  const out = join(folder, 'killed');
  let kills = 0;
  // Delays that grow from before the first commit to about a whole run; every run goes on where the last one ended.
  for (const delay of [500, 900, 700, 1100, 1300, 800, 1000]) {
    const { child, done } = startCli(args(out));
    child.stdin!.end();
    await Promise.race([sleep(delay), done]);
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      kills++;
    }
    await done;
  }
  expect(kills).toBeGreaterThan(2);
  const last = await cli(args(out));
  expect(last.stderr).toBe('');
  expect(last.code).toBe(0);
  expect(await results(out)).toEqual(undisturbed);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)(
  '%s stops cleanly: what is committed stays, nothing half-written, and a second run completes',
  async (signal, code) => {
    const out = join(folder, signal);
    const { child, done } = startCli(args(out));
    child.stdin!.end();
    const metadata = join(out, 'metadata');
    for (;;) {
      const names = await readdir(metadata).catch((): string[] => []);
      if (names.some((name) => name.endsWith('_stats.json'))) break;
      await sleep(5);
    }
    child.kill(signal);
    const stopped = await done;
    expect(stopped.code).toBe(code);
    const names = await readdir(metadata);
    expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([]);
    const committed = names.filter((name) => name.endsWith('_stats.json')).length;
    expect(committed).toBeGreaterThan(0);
    expect(names.filter((name) => name.endsWith('.parquet'))).toHaveLength(committed);
    const again = await cli([...args(out), '--json']);
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ shards: { done: 6 - committed, reused: committed } });
    expect(await results(out)).toEqual(undisturbed);
  },
);
