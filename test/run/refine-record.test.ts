import { expect, test } from 'vitest';
import { memoryFolder } from '../../src/io/memory.ts';
import { writeFile } from '../../src/metadata/folder.ts';
import { encodeRun, RUN_FILE, type RunRecord, readRun } from '../../src/metadata/run.ts';
import { recordMerged, recordRefined } from '../../src/run/refine-record.ts';
import { refinedFor } from '../../src/select/refined.ts';

const GROUP = 'refine:a';
const COLUMN = 'clip_a_similarity_score';

async function folderOf(thresholds?: number[], rows = 100, refined = 30) {
  const folder = memoryFolder('metadata');
  const groups = { [GROUP]: { fingerprint: 'f', precision: 'fp32' } };
  const run: RunRecord = { shardsieve: '1', rows: { fingerprint: 'r' }, models: {}, groups };
  await writeFile(folder, RUN_FILE, encodeRun(run));
  if (thresholds !== undefined) {
    const sample = { rows: 30, seed: 0, largest: 0.01, confidence: 0.95, share: 0.9, chance: 1 / 31 };
    const found = {
      ...{ thresholds, rows, refined, sample },
      ...{ largest: 0.01, factor: 1.5, band: 0.015 },
    };
    await recordRefined(folder, 'a', { column: COLUMN, ...found });
  }
  return { folder, run: (await readRun(folder))! };
}

const step = (threshold: number) => ({
  ...{ label: 'score', before: 1, after: 1, unjudged: 0, alone: 1 },
  found: [{ column: COLUMN, threshold }],
});

test('what is found stands in run.json, and a subset takes it over', async () => {
  const { run } = await folderOf([0.25]);
  const entry = run.groups![GROUP];
  expect(entry).toMatchObject({ fingerprint: 'f', precision: 'fp32', measured: { rows: 100, band: 0.015 } });
  const found = refinedFor([{ label: 'm', run, rows: 100 }], [step(0.25)]);
  expect(found).toEqual({ measured: [entry['measured']], notes: [] });
  const all = await folderOf([Number.NEGATIVE_INFINITY]);
  const everything = refinedFor([{ label: 'm', run: all.run, rows: 100 }], [step(Number.NEGATIVE_INFINITY)]);
  expect(everything.notes).toEqual([]);
});

test('told: other bounds, rows that came since, a run that was stopped, folders without', async () => {
  const { run } = await folderOf([0.25]);
  const told = (rows: number, threshold: number, more = {}) =>
    refinedFor([{ label: 'm', run, rows, ...more }], [step(threshold)]).notes.join();
  expect(told(100, 0.3)).toMatch(/near 0\.25, and the bound here is 0\.3/);
  expect(told(101, 0.25)).toMatch(/not finished, or shards came since/);
  expect(told(100, 0.25, { run: (await folderOf()).run })).toMatch(/not finished/);
  const two = refinedFor(
    [
      { label: 'm', run, rows: 100 },
      { label: 'plain', rows: 10 },
    ],
    [step(0.25)],
  );
  expect(two.notes.join()).toMatch(/refined in 1 of 2 folders/);
  expect(refinedFor([{ label: 'plain', rows: 10 }], [step(0.25)])).toEqual({ measured: [], notes: [] });
});

test('of merged folders: the rows together, the bounds that all have, each with its own band', async () => {
  const [a, b, open] = [await folderOf([0.25, 0.5]), await folderOf([0.25], 50, 20), await folderOf()];
  const measuredOf = async (parts: RunRecord[]) => {
    const { folder } = await folderOf([0.125]);
    await recordMerged(folder, parts);
    return (await readRun(folder))!.groups![GROUP]['measured'];
  };
  expect(await measuredOf([a.run, b.run])).toEqual({
    ...{ column: COLUMN, thresholds: [0.25], rows: 150, refined: 50 },
    parts: [a.run.groups![GROUP]['measured'], b.run.groups![GROUP]['measured']],
  });
  expect(await measuredOf([a.run])).toEqual(a.run.groups![GROUP]['measured']);
  expect(await measuredOf([a.run, open.run])).toBeUndefined();
});
