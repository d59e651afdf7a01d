import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { runRecipe } from '../../cli/jobs/recipe.ts';
import { type RefineReport, refineScores } from '../../cli/jobs/refine.ts';
import { type ScoreOptions, scoreShards } from '../../cli/jobs/score.ts';
import { selectSubset } from '../../cli/jobs/select.ts';
import { verifyFolders } from '../../cli/jobs/verify.ts';
import type { Column } from '../../src/metadata/columns.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { parseRecipe } from '../../src/run/recipe.ts';
import type { FilterInput } from '../../src/select/spec.ts';
import { cli, startCli } from '../helpers/cli.ts';
import { writeDrawings } from '../helpers/drawings.ts';
import { filesOf, scratch, withoutTimes } from '../helpers/tmp.ts';

const folder = await scratch();
const at = (...names: string[]) => join(folder, ...names);
const pool = at('pool');
const env = { SHARDSIEVE_QUANTISED: at('quantised') };
const SHARDS = ['00000', '00001', '00002', '00003'];
const ROWS = 1000;
const BEST: FilterInput[] = [{ score: { fraction: 0.3 } }];

const run = (...args: string[]) => cli(args, { env });
const options = (out: string) => ({ shards: pool, models: ['demo'], out: at(out) });
const int8 = { precision: 'int8' as const };

/** A folder as scoring in int8 left it, for a run that is told to refine afterwards. */
async function afterInt8(...name: string[]): Promise<string> {
  await cp(at('int8'), at(...name), { recursive: true });
  return name.join('/');
}

async function refine(
  out: string,
  filters: FilterInput[],
  more: Partial<ScoreOptions> = {},
): Promise<RefineReport> {
  const score = { ...options(out), ...int8, ...more, refine: filters };
  await scoreShards(score);
  const [report] = await refineScores({ score });
  return report;
}

async function subsetOf(metadata: string, filters: FilterInput[]): Promise<Buffer> {
  const out = at(`${metadata.replaceAll('/', '-')}.npy`);
  await selectSubset({ metadata: at(metadata), filters, out });
  return readFile(out);
}

async function columnsOf(metadata: string, shard: string): Promise<Map<string, Column['values']>> {
  const columns = await readColumns(openFolder(at(metadata), { readOnly: true }), `${shard}.parquet`);
  return new Map(columns.map(({ name, values }) => [name, values]));
}

function countOf(flags: Column['values']): number {
  let count = 0;
  for (const flag of flags) if (flag === true) count++;
  return count;
}

async function matrixOf(metadata: string, shard: string, name: string) {
  const file = `${shard}.npz`;
  return (await openNpz(await openFolder(at(metadata), { readOnly: true }).open(file), file)).matrix(name);
}

beforeAll(async () => {
  process.env['SHARDSIEVE_QUANTISED'] = env.SHARDSIEVE_QUANTISED;
  await writeDrawings(pool, SHARDS.length, ROWS / SHARDS.length);
  await scoreShards(options('fp32'));
  await scoreShards({ ...options('int8'), ...int8 });
});

describe('filter --precision int8 --refine', () => {
  let stdout = '';
  beforeAll(async () => {
    await afterInt8('filtered', 'metadata');
    const filter = [
      'filter',
      pool,
      '--model',
      'demo',
      '--precision',
      'int8',
      '--refine',
      '--fraction',
      '0.3',
    ];
    const done = await run(...filter, '--out', at('filtered'), '--json');
    expect(done).toMatchObject({ code: 0 });
    expect(done.stderr).toMatch(/256 samples of 4 shards are scored again in fp32/);
    stdout = done.stdout;
  });

  test("selects the subset of fp32 to the byte, which int8's is not", async () => {
    const fp32 = await subsetOf('fp32', BEST);
    expect(await readFile(at('filtered', 'subset.npy'))).toEqual(fp32);
    expect(await subsetOf('int8', BEST)).not.toEqual(fp32);
  });

  test('says which rows fp32 decides: their scores and embeddings are those of fp32, the others those of int8', async () => {
    let refined = 0;
    for (const shard of SHARDS) {
      const [mixed, fp32, int8] = await Promise.all(
        ['filtered/metadata', 'fp32', 'int8'].map((metadata) => columnsOf(metadata, shard)),
      );
      const flags = mixed.get('clip_demo_int8_refined')!;
      const scores = mixed.get('clip_demo_int8_similarity_score')!;
      const fine = fp32.get('clip_demo_similarity_score')!;
      const coarse = int8.get('clip_demo_int8_similarity_score')!;
      expect([...scores]).toEqual([...fine].map((value, row) => (flags[row] ? value : coarse[row])));
      const before = [...coarse].map((value, row) => (flags[row] ? value : null));
      expect(mixed.get('clip_demo_int8_unrefined_score')).toEqual(before);
      for (const side of ['img', 'txt']) {
        const arrays = [
          await matrixOf('filtered/metadata', shard, `demo_int8_${side}`),
          await matrixOf('fp32', shard, `demo_${side}`),
          await matrixOf('int8', shard, `demo_int8_${side}`),
        ];
        const row = (matrix: number, i: number) =>
          arrays[matrix].data.subarray(i * arrays[matrix].dim, (i + 1) * arrays[matrix].dim);
        for (const [i, flag] of flags.entries()) expect(row(0, i)).toEqual(row(flag ? 1 : 2, i));
      }
      refined += countOf(flags);
    }
    expect(refined).toBeGreaterThan(256);
    expect(refined).toBeLessThan(ROWS / 2);
    expect(JSON.parse(stdout).refine[0]).toMatchObject({ refined, rescored: refined, rows: ROWS });
  });

  test('records band, sample, coverage and threshold in run.json and beside the subset', async () => {
    const json = async (...names: string[]) => JSON.parse(await readFile(at(...names), 'utf8'));
    const { groups } = await json('filtered', 'metadata', 'run.json');
    const { measured, by } = groups['refine:demo_int8'];
    const { rescored: _, rounds: __, ...reported } = JSON.parse(stdout).refine[0];
    expect(measured).toEqual(reported);
    const { models } = await json('fp32', 'run.json');
    expect(by).toBe(models.demo.fingerprint);
    expect(measured.sample).toMatchObject({ rows: 256, seed: 0, confidence: 0.95, chance: 1 / 257 });
    expect(measured.band).toBe(1.5 * measured.largest);
    const record = await json('filtered', 'subset.json');
    expect(record.refined).toEqual([measured]);
    expect(record.steps[0].found[0].threshold).toBe(measured.thresholds[0]);
  });

  test('leaves a folder that verify finds whole, embeddings and all', async () => {
    const { findings } = await verifyFolders({
      folders: [at('filtered', 'metadata')],
      shards: pool,
      deep: true,
    });
    expect(findings).toEqual([]);
  });

  test('is told where another bound is selected by, at which scores are not those of fp32', async () => {
    const refined = at('filtered', 'metadata');
    const elsewhere = await selectSubset({ metadata: refined, threshold: 0.2 });
    expect(elsewhere.notes.join()).toMatch(/fp32's near 0\.42\d+, and the bound here is 0\.2/);
    expect((await selectSubset({ metadata: refined, filters: BEST })).notes).toEqual([]);
  });

  test('goes on for another bound: what is there is not scored again', async () => {
    await cp(at('filtered', 'metadata'), at('second'), { recursive: true });
    const bound = [{ score: { threshold: 0.4 } }];
    const report = await refine('second', bound);
    expect(report.rescored).toBeLessThan(report.refined - 200);
    expect(await subsetOf('second', bound)).toEqual(await subsetOf('fp32', bound));
    expect(await refine('second', bound)).toEqual({ ...report, rescored: 0 });
  });

  test('is not extended by scores that are not refined', async () => {
    const before = await filesOf(at('filtered', 'metadata'));
    const plain = scoreShards({ ...options('filtered/metadata'), ...int8 });
    await expect(plain).rejects.toThrow(/refined in fp32 near.*--refine/s);
    expect(await filesOf(at('filtered', 'metadata'))).toEqual(before);
  });
});

test("score --refine makes scores that select as fp32's do, and needs no embeddings", async () => {
  const shard = join(pool, '00000.tar');
  const flags = ['--precision', 'int8', '--refine', '--threshold', '0.35', '--no-embeddings'];
  const done = await run('score', shard, '--model', 'demo', '--out', at('bare'), ...flags);
  // A pool of less than a sample is scored again whole.
  expect(done).toMatchObject({ code: 0, stdout: expect.stringMatching(/fp32's in 250 of 250 rows/) });
  const [bare, fp32] = [await columnsOf('bare', '00000'), await columnsOf('fp32', '00000')];
  expect(bare.get('clip_demo_int8_similarity_score')).toEqual(fp32.get('clip_demo_similarity_score'));
  expect([...(await filesOf(at('bare'))).keys()]).not.toContain('00000.npz');
});

test('a recipe with other filters, and a fraction of what they leave', async () => {
  const filters: FilterInput[] = [{ caption: { min_words: 3 } }, { score: { fraction: 0.25, of: 'rest' } }];
  await afterInt8('recipe');
  const recipe = {
    ...{ shards: pool, models: ['demo'], score: { precision: 'int8', refine: true } },
    ...{ metadata: at('recipe'), filters, subset: at('recipe.npy') },
  };
  await runRecipe({ recipe: parseRecipe(recipe) });
  const fp32 = await subsetOf('fp32', filters);
  expect(await readFile(at('recipe.npy'))).toEqual(fp32);
  expect(await subsetOf('int8', filters)).not.toEqual(fp32);
});

test('killed while refining and run again, the metadata is that of an undisturbed run, and valid in between', async () => {
  await refine(await afterInt8('undisturbed'), BEST);
  await afterInt8('killed');
  const command = ['score', pool, '--model', 'demo', '--out', at('killed'), '-q', '--threads', '1'];
  const args = [...command, '--precision', 'int8', '--refine', '--fraction', '0.3'];
  const refinedIn = async (shard: string) => {
    const columns = await columnsOf('killed', shard).catch(() => new Map<string, Column['values']>());
    return countOf(columns.get('clip_demo_int8_refined') ?? []);
  };
  let kills = 0;
  // Each kill as soon as something was written to another shard: none of them is told what the one before did.
  for (const shard of SHARDS.slice(0, 2)) {
    const { child, done } = startCli(args, { env });
    child.stdin!.end();
    while (child.exitCode === null && (await refinedIn(shard)) === 0) await sleep(10);
    if (child.exitCode === null && child.kill('SIGKILL')) kills++;
    await done;
    const { findings } = await verifyFolders({ folders: [at('killed')], deep: true });
    expect(findings.filter(({ level }) => level === 'problem')).toEqual([]);
  }
  expect(kills).toBeGreaterThan(0);
  expect(await run(...args)).toMatchObject({ code: 0 });
  expect(await withoutTimes(at('killed'))).toEqual(await withoutTimes(at('undisturbed')));
});

describe('refused, with the reason, before anything is scored', () => {
  test.each<[string[], RegExp]>([
    [['score', '--refine', '--threshold', '0.3'], /all of it is fp32's already.*--precision int8/s],
    [['score', '--refine', '--precision', 'int8'], /near a threshold.*--fraction/s],
    [['score', '--precision', 'int8', '--fraction', '0.3'], /are of --refine/],
    [
      ['filter', '--refine', '--precision', 'int8', '--where', 'key > 5'],
      /near a bound on the score of demo_int8/,
    ],
    [
      ['filter', '--refine', '--precision', 'int8', '--fraction', '0.3', '--safe', '--safety', 'concepts'],
      /concepts would judge embeddings/,
    ],
  ])('%j', async ([command, ...flags], message) => {
    const { code, stderr } = await run(command, pool, '--model', 'demo', '--out', at('refused'), ...flags);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
  });

  test('a safe subset by what an earlier run judged', async () => {
    const shards = join(pool, '00000.tar');
    const concepts = join(import.meta.dirname, '../../demo/concepts.yaml');
    await scoreShards({ ...options('judged'), ...int8, shards, safety: [`concepts:${concepts}`] });
    const safe = refine('judged', [...BEST, { safe: {} }], { shards });
    await expect(safe).rejects.toThrow(/safety:demo_concepts would judge embeddings/);
    expect(await refine('judged', BEST, { shards })).toMatchObject({ refined: 250 });
  });

  test('a model of a server, whatever the precision', async () => {
    for (const precision of ['fp32', 'int8'] as const) {
      const score = { ...options('refused'), precision, endpoint: 'http://127.0.0.1:9', refine: BEST };
      await expect(scoreShards(score)).rejects.toThrow(/a server's model has one/);
    }
  });

  test('a shard that the run was not given', async () => {
    await afterInt8('more');
    const few = refine('more', BEST, { shards: join(pool, '00000.tar') });
    await expect(few).rejects.toThrow(/not given.*00001/s);
  });

  test('a recipe without filters', async () => {
    const recipe = { shards: pool, models: ['demo'], metadata: at('refused') };
    const run = runRecipe({ recipe: parseRecipe({ ...recipe, score: { precision: 'int8', refine: true } }) });
    await expect(run).rejects.toThrow(/no filters, which score.refine needs/);
  });
});
