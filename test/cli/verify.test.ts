import { appendFile, cp, mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { annotate as annotateFolder } from '../../cli/jobs/annotate.ts';
import { scoreShards } from '../../cli/jobs/score.ts';
import { verifyFolders } from '../../cli/jobs/verify.ts';
import type { Part } from '../../src/io/part.ts';
import { cli } from '../helpers/cli.ts';
import { goodSamples, tarOf, writePool } from '../helpers/pool.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const at = (...names: string[]) => join(folder, ...names);
const pool = at('pool');
const whole = at('whole');

async function verify(...args: string[]) {
  const { code, stdout, stderr } = await cli(['verify', '--json', ...args], { cwd: folder });
  const report = JSON.parse(stdout === '' ? '{}' : stdout) as {
    ok: boolean;
    rows: number;
    findings: { level: string; code: string }[];
  };
  return { code, stderr, report, codes: report.findings?.map((found) => `${found.level} ${found.code}`) };
}

/** Codes found in a copy of the whole that was damaged. */
async function damaged(name: string, damage: (path: string) => Promise<unknown>, options: object = {}) {
  const path = at(name);
  await cp(whole, path, { recursive: true, preserveTimestamps: true });
  await damage(path);
  const { ok, findings } = await verifyFolders({ folders: [path], ...options });
  return { ok, codes: findings.map(({ level, code }) => `${level} ${code}`), findings };
}

beforeAll(async () => {
  await writePool(pool, 3, 4);
  await scoreShards({ shards: pool, out: whole, models: ['demo'] });
});

describe('verify', () => {
  test('finds nothing in what score wrote, however deep it looks, and says so', async () => {
    const { code, report } = await verify('whole', '--shards', pool, '--deep');
    expect(code).toBe(0);
    expect(report).toMatchObject({ ok: true, rows: 12, distinct: 12, findings: [] });
    const { stdout } = await cli(['verify', whole]);
    expect(stdout).toContain(
      '3 shards, 12 rows\n12 rows with a uid, 12 different\neverything is as it should be',
    );
  });

  test('tells every kind of damage, with file, column and what to do, and ends with 1', async () => {
    await cp(whole, at('broken'), { recursive: true });
    await rm(at('broken/00002_stats.json'));
    await writeFile(at('broken/.00002_npz.00000000-1-000000000000.tmp'), 'half');
    const { code, stdout } = await cli(['verify', 'broken'], { cwd: folder });
    expect(code).toBe(1);
    expect(stdout).toContain('wrong:\n  broken: shards that were not fully written: 00002 (no _stats.json)');
    expect(stdout).toContain('worth knowing:\n  broken: temporary files');
    expect(stdout).toContain('not everything is as it should be');
  });

  test('finds a parquet whose pages are damaged behind a whole footer', async () => {
    const { ok, findings } = await damaged('pages', async (path) => {
      const file = join(path, '00001.parquet');
      const bytes = await readFile(file);
      const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
      await writeFile(file, bytes.fill(0xff, 4, footer));
    });
    expect(ok).toBe(false);
    expect(new Set(findings.map(({ code }) => code))).toEqual(new Set(['damaged']));
    expect(findings[0].places[0].file).toBe('00001.parquet');
  });

  test('finds embeddings of another shard, which only their values tell', async () => {
    const swap = (path: string) => cp(join(path, '00001.npz'), join(path, '00000.npz'));
    expect(await damaged('swapped', swap)).toMatchObject({ ok: true, codes: [] });
    const deep = await damaged('swapped-deep', swap, { deep: true });
    expect(deep).toMatchObject({ ok: false, codes: ['problem score_not_dot'] });
    expect(deep.findings[0]).toMatchObject({
      column: 'clip_demo_similarity_score',
      places: [{ file: '00000.npz', detail: expect.stringMatching(/^[1-4] rows/) }],
    });
  });

  test('compares with the shards: missing, unknown, changed, copied', async () => {
    const shards = at('other-pool');
    await cp(pool, shards, { recursive: true });
    await utimes(join(shards, '00000.tar'), 1, 1);
    await appendFile(join(shards, '00001.tar'), new Uint8Array(512));
    await rename(join(shards, '00002.tar'), join(shards, '00007.tar'));
    const options = { shards };
    expect(await damaged('inputs', async () => {}, options)).toMatchObject({
      ok: false,
      codes: [
        'problem input_changed',
        'problem shard_unknown',
        'incomplete shard_missing',
        'note input_changed',
      ],
    });
    const same = await damaged('inputs-deep', async () => {}, { ...options, deep: true });
    expect(same.codes).toEqual([
      'problem input_changed',
      'problem shard_unknown',
      'incomplete shard_missing',
    ]);
    await rm(join(shards, '00000.tar'));
    const list = [join(shards, '00000.tar'), join(pool, '00001.tar'), join(pool, '00002.tar')];
    const gone = await damaged('inputs-gone', async () => {}, { shards: list });
    expect(gone.codes).toEqual(['problem input_unreadable']);
  });

  test('says of a failed shard that it failed', async () => {
    const bad = at('bad-pool');
    await writePool(bad, 1, 2);
    await writeFile(join(bad, '00001.tar'), 'no tar at all, a page that says 404'.repeat(40));
    await scoreShards({ shards: bad, out: at('bad'), models: ['demo'] });
    const { code, codes, report } = await verify('bad', '--shards', bad);
    expect(code).toBe(1);
    expect(codes).toEqual(['incomplete failed_shards', 'incomplete shard_missing']);
    expect(report.findings[1]).toMatchObject({ places: [{ detail: 'failed' }] });
  });

  test('takes a part for what it is, and all parts for a whole', async () => {
    for (const index of [0, 1]) {
      await scoreShards({
        shards: pool,
        out: at(`part-${index}`),
        models: ['demo'],
        part: { index, count: 2 },
      });
    }
    expect(await verify('part-0', '--shards', pool, '--shard-index', '0/2')).toMatchObject({
      code: 0,
      codes: ['incomplete missing_parts'],
    });
    expect(await verify('part-0', 'part-1', '--shards', pool)).toMatchObject({ code: 0, codes: [] });
  });

  test('counts uids that repeat', async () => {
    await writeFile(
      at('twins.tar'),
      await tarOf((await goodSamples(0, 2)).map((s) => ({ ...s, key: `t${s.key}` }))),
    );
    await cp(whole, at('twins'), { recursive: true });
    await scoreShards({ shards: at('twins.tar'), out: at('twins'), models: ['demo'] });
    const { ok, rows, distinct, findings } = await verifyFolders({ folders: [at('twins')] });
    expect({ ok, rows, distinct }).toEqual({ ok: true, rows: 14, distinct: 12 });
    expect(findings.map(({ message }) => message)).toEqual(['2 of 14 rows have a uid that came before']);
  });

  test.each([
    [['nowhere'], 2, 'there is no folder nowhere'],
    [['whole', '--shards', 'nothing/*.tar'], 2, 'matches no file'],
    [[], 2, 'missing required argument'],
  ])('%j ends with %i', async (args, code, text) => {
    const result = await verify(...args);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(text);
  });
});

describe('verify of a copy with columns added', () => {
  test('made by parts: half of it is told, all of it is what one run makes', async () => {
    const foreign = at('foreign');
    await mkdir(foreign);
    for (const shard of ['00000', '00001', '00002']) {
      for (const ending of ['parquet', 'npz']) {
        await cp(join(whole, `${shard}.${ending}`), join(foreign, `${shard}.${ending}`));
      }
    }
    const annotate = (out: string, part?: Part) =>
      annotateFolder({
        metadata: foreign,
        lang: ['cld3'],
        out: at(out),
        threads: 1,
        ...(part ? { part } : {}),
      });
    await annotate('copy', { index: 1, count: 2 });
    const half = await verifyFolders({ folders: [at('copy')] });
    expect(half).toMatchObject({ ok: false, rows: 8 });
    expect(half.findings[0]).toMatchObject({
      code: 'half_written',
      places: [{ file: '00000' }],
      hint: 'Run annotate with this --out again to finish them',
    });
    await annotate('copy', { index: 0, count: 2 });
    const { ok, findings } = await verifyFolders({ folders: [at('copy')], deep: true });
    expect({ ok, codes: findings.map(({ code }) => code) }).toEqual({ ok: true, codes: ['unknown_model'] });
    await annotate('at-once');
    expect(await filesOf(at('copy'))).toEqual(await filesOf(at('at-once')));
    await writeFile(
      at('copy/annotated.json'),
      (await readFile(at('copy/annotated.json'), 'utf8')).replace(
        /"fingerprint": "[0-9a-f]+"/,
        '"fingerprint": "x"',
      ),
    );
    expect(await verifyFolders({ folders: [at('copy')] })).toMatchObject({
      ok: false,
      findings: [
        { code: 'fingerprint', message: 'language:cld3 made otherwise than annotated.json says' },
        {},
      ],
    });
  });

  test('annotates a part of a folder of our own in place', async () => {
    await cp(whole, at('own'), { recursive: true });
    const { code, stdout } = await cli(
      ['annotate', 'own', '--lang', 'cld3', '--threads', '1', '--shard-index', '0/3', '--json', '--quiet'],
      { cwd: folder },
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ rows: 4 });
    expect((await verify('own')).codes).toEqual(['incomplete missing_columns']);
  });
});

describe('verify of resharded samples', () => {
  beforeAll(async () => {
    await cli(['select', whole, '--threshold', '-1', '--out', at('subset.npy')]);
    await cli(['reshard', pool, '--subset', at('subset.npy'), '--out', at('shards'), '--shard-size', '5']);
  });

  test('counts what is there against what the small files say', async () => {
    expect(await verify('shards', '--deep')).toMatchObject({ code: 0, codes: [] });
    const bytes = await readFile(at('shards/00000002.tar'));
    await rm(at('shards/00000001.tar'));
    await writeFile(at('shards/00000009.tar'), bytes);
    // The first shard is replaced by one of two samples.
    await writeFile(at('shards/00000000.tar'), bytes);
    const { code, codes } = await verify('shards', '--deep');
    expect(code).toBe(1);
    expect(codes).toEqual(['problem output_samples', 'problem output_missing', 'problem stray_file']);
    await writeFile(at('shards/meta.json'), '{');
    expect((await verify('shards')).codes).toEqual(['problem damaged']);
  });
});
