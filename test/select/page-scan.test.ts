import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { CancelledError, MetadataError } from '../../src/errors.ts';
import { RowMask } from '../../src/select/mask.ts';
import type { Pool } from '../../src/select/pool.ts';
import {
  type Batch,
  type ColumnRequest,
  isNumeric,
  parquetScanner,
  type ScanOptions,
} from '../../src/select/scan.ts';
import { duckdbPool, uidOf, writeParquets } from '../helpers/duckdb.ts';
import { fixture } from '../helpers/fixtures.ts';
import { scratch } from '../helpers/tmp.ts';

const KINDS: { [type: string]: ColumnRequest['as'] } = {
  FLOAT: 'number',
  DOUBLE: 'number',
  INT32: 'number',
  INT64: 'number',
  BYTE_ARRAY: 'text',
  BOOLEAN: 'flag',
};

/** Every value of every column, by row of the pool; rows that do not matter are left out. */
async function rowsOf(
  batches: AsyncIterable<Batch>,
  requests: readonly ColumnRequest[],
  only?: RowMask,
): Promise<unknown[][]> {
  const rows: unknown[][] = [];
  for await (const batch of batches) {
    for (let i = 0; i < batch.rows; i++) {
      const row = batch.start + i;
      if (only && !only.get(row)) continue;
      const values = requests.map(({ name, as }) => {
        if (as === 'number') return [batch.numbers(name).constructor.name, batch.numbers(name)[i]];
        if (as === 'uid') return [...batch.uids().subarray(4 * i, 4 * i + 4)];
        return as === 'text' ? batch.texts(name)[i] : batch.flags(name)[i];
      });
      rows.push([row, batch.file.name, ...values]);
    }
  }
  return rows;
}

function requestsOf(pool: Pool): ColumnRequest[] {
  const shared = pool.files[0].parquet.columns.filter(({ name }) =>
    pool.files.every((file) => file.parquet.columns.some((column) => column.name === name)),
  );
  return shared.flatMap((column) => {
    const { name, type } = column;
    if (name === 'uid') return [{ name, as: 'uid' }];
    if (KINDS[type] === 'number' && !isNumeric(column)) return [];
    return KINDS[type] === undefined ? [] : [{ name, as: KINDS[type] }];
  });
}

async function compare(
  folder: string | string[],
  options: ScanOptions & { alone?: boolean; pageThread?: boolean } = {},
) {
  const { pool, engine } = await duckdbPool(folder, { pageThread: options.pageThread });
  const requests = requestsOf(pool);
  try {
    const read = pool.files.map(({ parquet }) => parquet.groups);
    if (options.alone)
      for (const { parquet } of pool.files) parquet.groups = () => expect.unreachable('not by its pages');
    const fast = await rowsOf(pool.scan(requests, options), requests, options.only);
    pool.files.forEach(({ parquet }, i) => {
      parquet.groups = read[i];
    });
    const slow = await rowsOf(parquetScanner.scan(pool.files, requests, options), requests, options.only);
    expect(fast.length).toBe(slow.length);
    expect(fast).toEqual(slow);
    return fast.length;
  } finally {
    engine.close();
  }
}

let made: string;

beforeAll(async () => {
  made = await scratch();
  const texts = [
    'NULL',
    "''",
    "'twelve bytes'",
    "'thirteen char'",
    "'naïve 猫 and more of it'",
    "'a' || chr(0) || 'b, and then some more'",
    "'é'",
    "chr(65279) || 'after a byte order mark'",
    "'plain ASCII, long enough to lie outside'",
  ];
  const text = `CASE (i * 7 + i // 3) % ${texts.length} ${texts.map((value, i) => `WHEN ${i} THEN ${value}`).join(' ')} END`;
  const columns = (from: number) => `${uidOf(`hash(i + ${from})`)} AS uid, ${text} AS text,
    CASE WHEN i % 3 = 0 THEN NULL ELSE (i / 7)::FLOAT END AS f, CASE WHEN i % 5 = 0 THEN NULL ELSE i / 7 END AS d,
    CASE WHEN i % 4 > 0 THEN i END AS wide, i::INTEGER AS narrow, CASE WHEN i % 3 > 0 THEN i % 2 = 0 END AS flag,
    ['en', 'de', NULL, 'zh-Hant', 'a language with a long name'][1 + i % 5] AS lang`;
  await writeParquets(made, { 'a.parquet': `SELECT ${columns(0)} FROM range(70000) r(i)` });
  // Row groups that no chunk divides, and a file of none.
  await writeParquets(
    made,
    {
      'b.parquet': `SELECT ${columns(70000)} FROM range(9001) r(i)`,
      'c.parquet': `SELECT ${columns(0)} FROM range(0) r(i)`,
    },
    'COMPRESSION zstd, ROW_GROUP_SIZE 3000',
  );
});

describe('gives what the neutral reader gives', () => {
  it.each(['pool', 'mixed'])('of the fixtures in %s', async (name) => {
    expect(await compare(join('test/fixtures/metadata', name), { alone: true })).toBeGreaterThan(50);
  });

  it.each(
    'none snappy gzip zstd groups pages-v2 uid-bytes uid-raw uid-dictionary holes double int-score'.split(
      ' ',
    ),
  )('of a parquet written as %s', async (name) => {
    const folder = await scratch();
    await writeFile(join(folder, 'a.parquet'), fixture(`metadata/odd/${name}.parquet`));
    expect(await compare(folder, { alone: true })).toBeGreaterThan(5);
  });

  it('of many small pages, nulls, dictionaries that overflow, by version and codec', async () => {
    const names = ['1', '2'].flatMap((version) =>
      ['none', 'snappy', 'zstd', 'gzip'].map((codec) => `v${version}-${codec}`),
    );
    const folder = await scratch();
    for (const name of names)
      await writeFile(join(folder, `${name}.parquet`), fixture(`metadata/paged/${name}.parquet`));
    expect(await compare(folder, { alone: true })).toBe(8 * 400);
    const only = new RowMask(8 * 400);
    for (let row = 3; row < 8 * 400; row += row % 3 === 0 ? 1 : 40) only.set(row);
    await compare(folder, { only, alone: true });
    await compare(folder, { only, alone: true, pageThread: true });
  });

  it('where only the neutral reader knows the encoding or the codec', async () => {
    const folder = await scratch();
    await writeFile(join(folder, 'a.parquet'), fixture('metadata/paged/encodings.parquet'));
    await writeFile(join(folder, 'b.parquet'), fixture('metadata/paged/v1-snappy.parquet'));
    expect(await compare(folder)).toBe(800);
    expect(await compare(folder, { pageThread: true })).toBe(800);
    await writeFile(join(folder, 'c.parquet'), fixture('metadata/odd/brotli.parquet'));
    await expect(compare(folder)).rejects.toThrow(/BROTLI/);
  });

  it('of nulls, odd text, odd row groups, every type', async () => {
    expect(await compare(made, { alone: true })).toBe(79_001);
  });

  it('for the rows that matter', async () => {
    const only = new RowMask(79_001);
    for (let row = 0; row < 79_001; row += row % 11 === 0 ? 5 : 977) only.set(row);
    await compare(made, { only, alone: true });
    const last = new RowMask(79_001);
    last.set(79_000);
    await compare(made, { only: last, alone: true });
  });

  it('of uids of UUID’s own type, of columns whose case differs, of folders with signs that mean something', async () => {
    const folder = join(await scratch(), "it's [a] *? folder");
    await mkdir(folder);
    await writeParquets(folder, {
      'a.parquet': `SELECT ${uidOf('hash(i)')}::UUID AS uid, i AS "Text?", 'x' || i AS "te""xt" FROM range(20) r(i)`,
    });
    await compare(folder, { alone: true });
  });
});

it('takes no date or time for a number, as the neutral reader does not', async () => {
  const folder = await scratch();
  await writeParquets(folder, {
    'a.parquet': `SELECT ${uidOf('i')} AS uid, DATE '2020-01-01' AS day, TIMESTAMP '2020-01-01' AS at, TIME '10:00' AS hour
      FROM range(3) r(i)`,
  });
  const { pool, engine } = await duckdbPool(folder);
  for (const [name, type] of [
    ['day', 'DATE'],
    ['at', 'TIMESTAMP'],
    ['hour', 'TIME'],
  ]) {
    for (const scanner of [pool, { scan: parquetScanner.scan.bind(null, pool.files) }]) {
      const batches = scanner.scan([{ name, as: 'number' }]);
      await expect(rowsOf(batches, [{ name, as: 'number' }])).rejects.toThrow(
        `${name} is ${type}, not a number`,
      );
    }
  }
  engine.close();
});

describe('errors', () => {
  it('name file and row of a malformed uid, as the neutral reader does', async () => {
    const folder = await scratch();
    await writeFile(join(folder, 'a.parquet'), fixture('metadata/odd/bad-uid.parquet'));
    await expect(compare(folder)).rejects.toThrow(
      /row 7 has uid "not-a-uid", which is not 32 hex digits \(file .*a\.parquet, column uid\)/,
    );
  });

  it('are the neutral reader’s for damage', async () => {
    const folder = await scratch();
    const bytes = fixture('metadata/odd/snappy.parquet');
    bytes.fill(0xff, 10, 400);
    await writeFile(join(folder, 'a.parquet'), bytes);
    await expect(compare(folder)).rejects.toThrow(MetadataError);
  });
});

it('answers damage with the neutral reader’s answer: values or a MetadataError', async () => {
  const whole = fixture('metadata/paged/v1-snappy.parquet');
  const folder = await scratch();
  const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const bytes = whole.slice();
      for (const { at, byte } of changes) bytes[at] = byte;
      await writeFile(join(folder, 'a.parquet'), bytes);
      const opened = await duckdbPool(folder).catch((error) => {
        expect(error).toBeInstanceOf(MetadataError);
        return undefined;
      });
      if (opened === undefined) return;
      const { pool, engine } = opened;
      const requests = requestsOf(pool);
      await rowsOf(pool.scan(requests), requests).catch((error) =>
        expect(error).toBeInstanceOf(MetadataError),
      );
      engine.close();
    }),
    { numRuns: 40, seed: 4 },
  );
});

it('stops when told', async () => {
  const { pool, engine } = await duckdbPool(made);
  const control = new AbortController();
  const scan = async () => {
    for await (const _ of pool.scan([{ name: 'd', as: 'number' }], { signal: control.signal }))
      control.abort();
  };
  await expect(scan()).rejects.toThrow(CancelledError);
  // And a reader may be left alone half way.
  for await (const batch of pool.scan([{ name: 'd', as: 'number' }])) if (batch.rows > 0) break;
  engine.close();
});
