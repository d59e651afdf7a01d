import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scoreShards } from '../../cli/jobs/score.ts';
import { CancelledError } from '../../src/errors.ts';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';

const SHARDS = ['demo-00000.tar', 'demo-00001.tar'].map((name) =>
  join(import.meta.dirname, '../../demo/shards', name),
);

interface Event {
  ph: string;
  name: string;
  ts: number;
  dur: number;
  tid: number;
  args: { count?: number; waiting?: number; shard?: string };
}

test('a trace shows every sample in every stage, on rows whose spans do not overlap', async () => {
  const root = await scratch();
  const [out, file] = [join(root, 'metadata'), join(root, 'trace.json')];
  const run = await cli(['score', ...SHARDS, '--model', 'demo', '--out', out, '--trace', file, '--json']);
  expect(run.stderr).not.toMatch(/rror/);
  const { seen, scored, repeats, stages } = JSON.parse(run.stdout);
  const events: Event[] = JSON.parse(await readFile(file, 'utf8'));
  const spans = events.filter(({ ph }) => ph === 'X');
  const of = (stage: string): Event[] => spans.filter(({ name }) => name === stage);
  const samples = (stage: string): number =>
    of(stage).reduce((sum, { args, name }) => sum + (args.count ?? (name === stage ? 1 : 0)), 0);
  expect(of('read')).toHaveLength(seen);
  expect(of('tokenise')).toHaveLength(scored);
  expect(of('decode')).toHaveLength(of('preprocess').length);
  const { pictures, captions } = repeats ?? { pictures: 0, captions: 0 };
  expect([samples('decode'), samples('pictures'), samples('captions')]).toEqual([
    scored - pictures,
    scored - pictures,
    scored - captions,
  ]);
  expect([of('write').length, of('shard').length]).toEqual([2, 2]);
  for (const { args } of of('write')) expect(args.count).toBeGreaterThan(0);

  // The second shard is begun when the first one's last sample is decoded, and not when it is written.
  const [first, second] = ['demo-00000', 'demo-00001'].map((shard) =>
    spans.filter(({ args }) => args.shard === shard),
  );
  const ended = (stage: string): number =>
    Math.max(...first.flatMap(({ name, ts, dur }) => (name === stage ? ts + dur : [])));
  const begun = Math.min(...second.map(({ ts }) => ts));
  expect(begun).toBeGreaterThanOrEqual(ended('decode') - 1);
  expect(begun).toBeLessThan(ended('shard'));

  const rows = Map.groupBy(spans, ({ tid }) => tid);
  const named = events.filter(({ name }) => name === 'thread_name').map(({ tid }) => tid);
  expect([...rows.keys()].sort()).toEqual(named.sort());
  for (const row of rows.values()) {
    row.sort((a, b) => a.ts - b.ts);
    // Times are rounded to whole microseconds.
    for (const [i, { ts }] of row.slice(1).entries())
      expect(ts + 1).toBeGreaterThanOrEqual(row[i].ts + row[i].dur);
  }
  const depths = events.filter(({ ph, name }) => ph === 'C' && name === 'samples');
  expect(depths.length).toBeGreaterThanOrEqual(scored);
  expect(depths.at(-1)!.args.waiting).toBe(0);
  const total = of('pictures').reduce((sum, { dur }) => sum + dur, 0) / 1e6;
  expect(stages.pictures).toBeCloseTo(total, 1);
});

test('a trace that cannot be written is told before anything is scored', async () => {
  const out = join(await scratch(), 'metadata');
  const trace = join(out, 'no', 'such', 'folder.json');
  const run = await cli(['score', SHARDS[0], '--model', 'demo', '--out', out, '--trace', trace]);
  expect(run.code).toBe(1);
  expect(run.stderr).toMatch(/the trace cannot be written: .*folder\.json/);
  expect(run.stderr).not.toMatch(/at .*\.ts/);
});

test.skipIf(!existsSync('/dev/full'))(
  'a trace that the disk has no room for is an error of the run',
  async () => {
    const out = join(await scratch(), 'metadata');
    const run = await cli([
      'score',
      SHARDS[0],
      '--model',
      'demo',
      '--limit',
      '2',
      '--out',
      out,
      '--trace',
      '/dev/full',
    ]);
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(/the trace cannot be written: .*ENOSPC/);
    expect(await readdir(out)).toContain('demo-00000.parquet');
  },
);

test('the error of a run is told, and not that its trace is not whole', async () => {
  const root = await scratch();
  const options = { shards: SHARDS[0], models: ['demo'], out: join(root, 'metadata') };
  const signal = AbortSignal.abort();
  const trace = existsSync('/dev/full') ? '/dev/full' : join(root, 'trace.json');
  await expect(scoreShards({ ...options, trace, signal })).rejects.toThrow(CancelledError);
});
