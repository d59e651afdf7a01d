import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../cli/duckdb/database.ts';
import { CancelledError, UsageError } from '../../src/errors.ts';
import type { RowMask } from '../../src/select/mask.ts';
import { cli } from '../helpers/cli.ts';
import { duckdbPool, uidOf, writeParquets } from '../helpers/duckdb.ts';
import { scratch } from '../helpers/tmp.ts';

let folder: string;
let secret: string;
let opened: Awaited<ReturnType<typeof duckdbPool>>;

beforeAll(async () => {
  folder = await scratch();
  secret = join(await scratch(), 'secret.txt');
  await writeFile(secret, 'secret');
  await writeParquets(folder, {
    // 0.24 as FLOAT lies below 0.24.
    'a.parquet': `SELECT ${uidOf('i')} AS uid, 'row ' || i AS text, (['0.24', '0.3', 'nan', NULL][i + 1])::FLOAT AS score,
      100 * i AS original_width, CASE WHEN i < 2 THEN [] ELSE [[0.1, 0.2, 0.3, 0.4]] END AS face_bboxes,
      i > 1 AS "is ""odd""", {'lang': 'en'} AS tags FROM range(4) r(i)`,
    // Another type of score, another order of columns, one column less and one more.
    'b.parquet': `SELECT [0.24, 0.2399, NULL][i + 1]::DOUBLE AS score, ${uidOf('i + 4')} AS uid, 'row ' || (i + 4) AS text,
      100 * (i + 4) AS original_width, []::DOUBLE[][] AS face_bboxes, 'x' || i AS extra FROM range(3) r(i)`,
  });
  opened = await duckdbPool(folder);
});

afterAll(() => opened.engine.close());

const rowsOf = (mask: RowMask) => [...Array(mask.rows).keys()].filter((row) => mask.get(row));

async function test(predicate: string) {
  const { keep, unjudged } = await opened.engine.where.test(opened.pool, predicate);
  return { keep: rowsOf(keep), unjudged: rowsOf(unjudged) };
}

describe('a predicate', () => {
  it.each<[string, number[], number[]]>([
    // In the column's own type, as DataComp compares: 0.24 stays in both files.
    ['score >= 0.24', [0, 1, 4], [2, 3, 6]],
    ['score < 0.24', [5], [2, 3, 6]],
    ['score = 0.24', [0, 4], [2, 3, 6]],
    ['score >= 0.24 OR score IS NULL', [0, 1, 2, 3, 4, 6], []],
    ["text = 'row 2'", [2], []],
    ["TEXT LIKE 'row %' AND original_width BETWEEN 100 AND 400", [1, 2, 3, 4], []],
    ['len(face_bboxes) = 0', [0, 1, 4, 5, 6], []],
    ['list_any_value(list_transform(face_bboxes, lambda box: box[1])) > 0.05', [2, 3], [0, 1, 4, 5, 6]],
    // A column that only some files have is NULL in the others.
    ["extra = 'x1'", [5], [0, 1, 2, 3]],
    ['"is ""odd"""', [2, 3], [4, 5, 6]],
    ["tags.lang = 'en'", [0, 1, 2, 3], [4, 5, 6]],
    ["CASE WHEN original_width > 300 THEN true ELSE text IN ('row 0') END -- a comment", [0, 4, 5, 6], []],
    // Row 0 is of width 0: a division by it is no number.
    ['100 / original_width >= 0.5', [1, 2], [0]],
    ['original_width / (original_width * 2) >= 0.1', [1, 2, 3, 4, 5, 6], [0]],
    ['1 = 1) OR (1 = 1', [0, 1, 2, 3, 4, 5, 6], []],
  ])('%s', async (predicate, keep, unjudged) => {
    expect(await test(predicate)).toEqual({ keep, unjudged });
  });
});

describe('is refused, saying why and where:', () => {
  it.each<[string, RegExp]>([
    [
      'scor >= 0.3',
      /no column scor, at character 1: scor >= 0.3. Did you mean score\? There is extra, face_bboxes/,
    ],
    ["text = 'Übung' AND txt = 'x'", /no column txt, at character 20: txt = 'x'. Did you mean text\?/],
    ['score >= ', /syntax error.*at its end/],
    ['score >= 0.3 AND AND text IS NULL', /syntax error at or near "AND".*at character 18/],
    ["text = 'x", /unterminated quoted string/],
    ['', /the predicate is empty/],
    ['score', /the predicate is FLOAT, not true or false/],
    ['NULL', /not true or false/],
    ['length(score, 3) > 1', /No function matches.*at character 1/],
    ['face_bboxes > 3', /Cannot compare/],
    ['CAST(text AS INTEGER) > 2', /^(?!.*row 0)where: a value of text cannot be converted.*TRY_CAST/],
    ['frob(text) = 1', /no function frob\(\)/],
    ['count(*) > 1', /count_star\(\) is of many rows/],
    ['row_number() OVER () < 3', /a window function is not allowed, at character 1/],
    ['random() < 0.5', /random\(\) is not the same at every run/],
    ['created < now()', /no column created/],
    ['original_width = ?', /a parameter is not allowed|syntax error/],
    ['original_width = $1', /a parameter is not allowed/],
    ['COLUMNS(*) > 1', /not allowed/],
  ])('%s', async (predicate, message) => {
    const error = await test(predicate).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message.replaceAll('\n', ' ')).toMatch(message);
  });
});

describe('names that the query itself uses', () => {
  it('are a file’s own columns, where DuckDB can tell them apart, and refused where it cannot', async () => {
    const odd = await scratch();
    await writeParquets(odd, {
      'a.parquet': `SELECT ${uidOf('i')} AS uid, 9 - i AS place, i > 4 AS verdict, i AS pool, i AS joined FROM range(10) r(i)`,
    });
    const own = await duckdbPool(odd);
    const { keep } = await own.engine.where.test(
      own.pool,
      'place < 3 AND verdict AND pool > 0 AND joined > 7',
    );
    expect(rowsOf(keep)).toEqual([8, 9]);
    own.engine.close();
    await writeParquets(odd, {
      'a.parquet': `SELECT ${uidOf('i')} AS uid, i AS File_Row_Number FROM range(10) r(i)`,
    });
    const hidden = await duckdbPool(odd);
    await expect(hidden.engine.where.test(hidden.pool, 'true')).rejects.toThrow(
      /DuckDB keeps the name File_Row_Number for itself \(file .*a\.parquet.*Rename/,
    );
    hidden.engine.close();
  });
});

it('is stopped while no row has come out yet', async () => {
  const wide = await scratch();
  await writeParquets(wide, {
    'a.parquet': `SELECT ${uidOf('i')} AS uid, repeat('ab', 40) AS text FROM range(200000) r(i)`,
  });
  const { pool, engine } = await duckdbPool(wide);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 20);
  // Seconds of work, and nothing is kept.
  const judged = engine.where.test(pool, 'levenshtein(text, uid || text) < 0', stop.signal);
  await expect(judged).rejects.toThrow(CancelledError);
  engine.close();
});

describe('nothing else runs:', () => {
  it.each([
    'score > (SELECT 1)',
    'EXISTS (SELECT 1)',
    "text IN (SELECT content FROM read_text('SECRET'))",
    '1 = 1) FROM pool UNION SELECT (1 = 1',
    "1 = 1) FROM pool; COPY (SELECT 1) TO 'SECRET' --",
    '1 = 1) FROM pool; SELECT (1 = 1',
    "1 = 1) FROM read_text('SECRET') AS pool WHERE (1 = 1",
    "1 = 1) FROM pool, read_text('SECRET') AS other WHERE (1 = 1",
    "1 = 1) FROM 'SECRET' AS pool --",
    '1 = 1) FROM other.pool --',
    '1 = 1) OVER (ORDER BY (1 = 1',
    "read_text('SECRET') IS NULL",
    "glob('SECRET') IS NULL",
    "getenv('HOME') = ''",
    "current_setting('threads') = '1'",
    "getvariable('x') = 1",
    "nextval('s') = 1",
    "query('SELECT 1') = 1",
    "json_execute_serialized_sql('x') = 1",
    "now() > DATE '2020-01-01'",
    "age(TIMESTAMP '2020-01-01') > INTERVAL 1 YEAR",
    "current_date > DATE '2020-01-01'",
    'pg_sleep(1) IS NULL',
    'sleep_ms(1) IS NULL',
    "write_log('x') IS NULL",
    'DEFAULT',
    '#1',
    '*',
  ])('%s', async (predicate) => {
    const error = await test(predicate.replaceAll('SECRET', secret)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect(await readFile(secret, 'utf8')).toBe('secret');
  });

  it('and the database behind it reads its own files only, whatever it is told', async () => {
    const own = join(folder, 'a.parquet');
    const database = await openDatabase([own]);
    const connection = await database.connect();
    await expect(connection.run(`SELECT * FROM read_parquet('${own}')`)).resolves.toBeDefined();
    for (const sql of [
      `SELECT * FROM read_text('${secret}')`,
      `SELECT * FROM read_parquet('${join(folder, 'b.parquet')}')`,
      `SELECT * FROM glob('${folder}/*')`,
      `COPY (SELECT 1) TO '${secret}'`,
      `COPY (SELECT 1) TO '${own}.x'`,
      `ATTACH '${join(folder, 'x.db')}'`,
      "SELECT * FROM read_csv('https://example.com/x.csv')",
      'INSTALL httpfs',
      'LOAD httpfs',
      'SET enable_external_access = true',
      `SET allowed_paths = ['${secret}']`,
      "SET temp_directory = '/tmp'",
      'SET lock_configuration = false',
    ]) {
      await expect(connection.run(sql), sql).rejects.toThrow(/Permission|locked/);
    }
    connection.closeSync();
    database.close();
    expect(await readFile(secret, 'utf8')).toBe('secret');
  });
});

it('selects from the command line, and counts what it cannot judge', async () => {
  const out = join(await scratch(), 's.npy');
  const { code, stdout, stderr } = await cli([
    'select',
    folder,
    '--where',
    'score >= 0.24',
    '--out',
    out,
    '--json',
  ]);
  expect(stderr.replace(/.*not written by Shardsieve.*\n/, '')).toBe('');
  expect(code).toBe(0);
  const { steps, keptRows } = JSON.parse(stdout);
  expect({ ...steps[0] }).toMatchObject({ before: 7, after: 3, unjudged: 3 });
  expect(keptRows ?? 3).toBe(3);
  const wrong = await cli(['select', folder, '--where', 'scor >= 0.24', '--out', out]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toMatch(/no column scor.*Did you mean score\?/);
});
