import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const BENCH = join(import.meta.dirname, '../../tools/bench/memory.ts');
const SAMPLES = 8000;
const SIDE = 128;

test('memory of a run does not grow with what it has scored', () => {
  const args = ['--samples', SAMPLES, '--shard-size', SAMPLES / 8, '--side', SIDE].map(String);
  const run = spawnSync(process.execPath, [BENCH, ...args], { encoding: 'utf8' });
  expect(run.stderr).toBe('');
  const { samples, rss_mb_by_quarter: most } = JSON.parse(run.stdout);
  expect(samples).toBe(SAMPLES);
  // The pictures of two quarters, kept, would be 197 MB as the towers get them; the first quarter warms up.
  const kept = (SAMPLES / 2) * SIDE * SIDE * 3;
  expect((most[3] - most[1]) * 1e6).toBeLessThan(kept / 2);
  expect(Math.max(...most)).toBeLessThan(1000);
});
