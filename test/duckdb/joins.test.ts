import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { UidMap } from '../../cli/duckdb/uid-map.ts';
import { isShardsieveError } from '../../src/errors.ts';
import type { RowMask } from '../../src/select/mask.ts';
import { cli } from '../helpers/cli.ts';
import { duckdbPool, uidOf, writeParquets } from '../helpers/duckdb.ts';
import { scratch } from '../helpers/tmp.ts';

/** 5,000 rows, uid `hash(i)`; uid of row 7 again in row 4,000. */
let pool: string;
let tables: string;

const uid = uidOf('hash(CASE WHEN i = 4000 THEN 7 ELSE i END)');

beforeAll(async () => {
  pool = await scratch();
  tables = await scratch();
  await writeParquets(pool, {
    'a.parquet': `SELECT ${uid} AS uid, 'text ' || i AS text, 0.5::FLOAT AS clip_b32_similarity_score FROM range(3000) r(i)`,
    'b.parquet': `SELECT ${uid} AS uid, 'text ' || i AS text, 0.5::FLOAT AS clip_b32_similarity_score FROM range(3000, 5000) r(i)`,
  });
  // In another order, without the last 10, with others that the pool does not have.
  const scores = `SELECT upper(${uidOf('hash(i)')}) AS uid, CASE WHEN i = 5 THEN NULL ELSE i / 10000 END AS quality,
    (i / 10000)::FLOAT AS small, i AS count, i % 2 = 0 AS even, 'tag ' || (i % 3) AS "the tag", [i] AS list
    FROM range(6000) r(i) WHERE i < 4990 OR i >= 5000 ORDER BY hash(i + 1)`;
  await mkdir(join(tables, 'parts'));
  await writeParquets(tables, {
    'scores.parquet': scores,
    'parts/0.parquet': `FROM (${scores}) WHERE count < 2500`,
    'parts/1.parquet': `FROM (${scores}) WHERE count >= 2500`,
    'more.parquet': `SELECT ${uidOf('hash(i)')} AS uid, i AS more FROM range(5000) r(i)`,
    'twice.parquet': `SELECT ${uidOf('hash(i % 50)')} AS uid, i AS again FROM range(60) r(i)`,
    'no-uid.parquet': 'SELECT 1 AS id, 2 AS other',
    'bad-uid.parquet': `SELECT CASE WHEN i = 3 THEN 'x' ELSE ${uidOf('i')} END AS uid, i AS n FROM range(5) r(i)`,
    'collision.parquet': `SELECT ${uidOf('i')} AS uid, 'x' AS "Text" FROM range(5) r(i)`,
    'decimals.parquet': `SELECT ${uidOf('hash(i)')} AS uid, (i / 100)::DECIMAL(9, 2) AS d9, (i / 100)::DECIMAL(18, 2) AS d18,
      DATE '2020-01-01' + i::INTEGER AS day, [i] AS list FROM range(5000) r(i)`,
    'large.parquet': `SELECT ${uidOf('hash(i)')} AS uid, 9007199254740991 + i AS large FROM range(5000) r(i)`,
    'days.parquet': `SELECT ${uidOf('i')} AS uid, DATE '2020-01-01' AS day, now() AS at FROM range(5) r(i)`,
    'only-uid.parquet': `SELECT ${uidOf('i')} AS uid, [1] AS list FROM range(5) r(i)`,
  });
});

const rowsOf = (mask: RowMask) => [...Array(mask.rows).keys()].filter((row) => mask.get(row));
const all = Array.from({ length: 5000 }, (_, i) => i);
/** Which number's uid a row has. */
const nameOf = (row: number) => (row === 4000 ? 7 : row);
const missing = all.slice(4990);

describe.each(['scores.parquet', 'parts'])('%s', (name) => {
  it('can be asked for in a predicate', async () => {
    const opened = await duckdbPool(pool, { joins: [join(tables, name)] });
    const test = async (predicate: string) => {
      const { keep, unjudged } = await opened.engine.where.test(opened.pool, predicate);
      return [rowsOf(keep), rowsOf(unjudged)];
    };
    const expected = (is: (i: number) => boolean) => all.filter((row) => row < 4990 && is(nameOf(row)));
    expect(await test('quality < 0.01')).toEqual([expected((i) => i < 100 && i !== 5), [5, ...missing]]);
    expect(await test('small >= 0.24')).toEqual([expected((i) => i >= 2400), missing]);
    expect(await test('count // 2 = 3')).toEqual([expected((i) => i === 6 || i === 7), missing]);
    expect(await test(`even AND "the tag" = 'tag 1' AND text LIKE 'text 1%'`)).toEqual([
      all.filter((row) => row < 4990 && row % 6 === 4 && `${row}`.startsWith('1')),
      missing.filter(() => false),
    ]);
    expect(await test('quality IS NULL')).toEqual([[5, ...missing], []]);
    await expect(test('qualty > 1')).rejects.toThrow(/Did you mean quality\?/);
    await expect(test('list IS NULL')).rejects.toThrow(/no column list/);
    expect(opened.engine.notes.join()).toMatch(/10 of 5000 rows have no such uid/);
    opened.engine.close();
  });
});

it('is a score like any other, and several tables can be joined', async () => {
  const out = join(await scratch(), 's.npy');
  const joins = ['--join', join(tables, 'scores.parquet'), '--join', join(tables, 'more.parquet')];
  const filters = ['--where', 'more >= 100', '--filter', '{score: {column: quality, fraction: 0.3}}'];
  const { code, stdout, stderr } = await cli(['select', pool, ...joins, ...filters, '--out', out, '--json']);
  expect(stderr).toMatch(/10 of 5000 rows have no such uid/);
  expect(code).toBe(0);
  const { steps } = JSON.parse(stdout);
  const { joined } = JSON.parse(await readFile(out.replace('.npy', '.json'), 'utf8'));
  const fingerprint = expect.stringMatching(/^[0-9a-f]{32}$/);
  expect(joined).toEqual([5990, 5000].map((rows) => ({ rows, files: 1, fingerprint })));
  // int(5000 · 0.3): NULL sorts last.
  expect(steps[1]).toMatchObject({ before: 4899, after: 1501, unjudged: 10 });
});

it('has decimals as they are, says what it leaves out, and holds no integer that a double cannot', async () => {
  const opened = await duckdbPool(pool, {
    joins: ['decimals', 'large'].map((name) => join(tables, `${name}.parquet`)),
  });
  expect(opened.engine.notes.join()).toMatch(/decimals.parquet: not joined.*: day, list/);
  const { keep } = await opened.engine.where.test(opened.pool, 'd9 < 0.05 AND d18 > 0.01');
  expect(rowsOf(keep)).toEqual([2, 3, 4]);
  await expect(opened.engine.where.test(opened.pool, 'large > 0')).rejects.toThrow(
    /row 1 holds an integer above 2\^53 \(file .*large\.parquet, column large\)\. Store such a column as text/,
  );
  opened.engine.close();
});

describe('refused:', () => {
  it.each<[string[], string, RegExp]>([
    [['nowhere.parquet'], 'usage', /cannot be read.*nowhere/],
    [
      ['twice.parquet'],
      'metadata',
      /uid [0-9a-f]{32} occurs twice, the second time in row 50 \(file .*twice\.parquet, column uid\)/,
    ],
    [['no-uid.parquet'], 'metadata', /no column uid to join by.*it has id, other/i],
    [['bad-uid.parquet'], 'metadata', /row 3 has uid "x", which is not 32 hex digits \(file .*bad-uid/],
    [['collision.parquet'], 'usage', /column Text is in the metadata too.*Rename it/],
    [['scores.parquet', 'parts'], 'usage', /column quality is in .*scores.parquet too/],
    [['only-uid.parquet'], 'metadata', /nothing to join/],
    [['days.parquet'], 'metadata', /nothing to join: no column of numbers/],
    [['.'], 'metadata', /other columns than|no column uid/],
  ])('%j', async (names, code, message) => {
    const error = await duckdbPool(pool, { joins: names.map((name) => join(tables, name)) }).catch(
      (thrown: unknown) => thrown,
    );
    expect(isShardsieveError(error) && error.code).toBe(code);
    expect((error as Error).message).toMatch(message);
  });
});

it('finds uids in a table that counts, as in one of hashes', () => {
  const words = new Uint32Array(4 * 1000);
  for (let i = 0; i < 1000; i++) words[4 * i + 2] = i;
  const map = new UidMap(words, 1000);
  for (let i = 0; i < 1000; i++) expect(map.add(i)).toBe(-1);
  expect(map.add(5)).toBe(5);
  expect(map.find(Uint32Array.of(0, 0, 999, 0), 0)).toBe(999);
  expect(map.find(Uint32Array.of(0, 0, 1000, 0), 0)).toBe(-1);
  expect(map.find(Uint32Array.of(1, 0, 5, 0), 0)).toBe(-1);
});
