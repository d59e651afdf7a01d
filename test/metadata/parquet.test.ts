import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MetadataError, UsageError } from '../../src/errors.ts';
import { type Column, inferColumn, rowColumns } from '../../src/metadata/columns.ts';
import { openParquet, readColumns } from '../../src/metadata/parquet-read.ts';
import { encodeParquet } from '../../src/metadata/parquet-write.ts';
import { fixture, fixtureFolder } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { makeRows } from '../helpers/tables.ts';

async function roundTrip(columns: Column[]): Promise<Column[]> {
  return readColumns(new MemoryFolder('m', { 'a.parquet': encodeParquet(columns) }), 'a.parquet');
}

describe('writing', () => {
  it('keeps every column, with nulls, empty lists and text beyond ASCII', async () => {
    const columns: Column[] = [
      ...rowColumns(makeRows(9)),
      { name: 'int', type: 'int', values: [0, -1, null, 2 ** 53 - 1, -(2 ** 53) + 1, 5, 6, 7, 8] },
      { name: 'bool', type: 'bool', values: [true, false, null, true, true, true, true, true, false] },
      { name: 'score', type: 'float', values: Float32Array.of(0.1, NaN, Infinity, -0, 1, 2, 3, 4, 5) },
      { name: 'wide', type: 'double', values: Float64Array.of(0.1, NaN, -Infinity, 1e-300, 1, 2, 3, 4, 5) },
      { name: 'holes', type: 'double', values: [null, 0.5, null, 1, 2, 3, 4, 5, 6] },
    ];
    expect(await roundTrip(columns)).toEqual(columns);
  });

  it('works without rows', async () => {
    expect(
      await roundTrip([...rowColumns([]), { name: 's', type: 'float', values: new Float32Array(0) }]),
    ).toHaveLength(9);
  });

  it('gives the same bytes each time', () => {
    const make = () => encodeParquet(rowColumns(makeRows(50)));
    expect(make()).toEqual(make());
  });

  it('keeps many rows in row groups', async () => {
    const n = 100_001;
    const column: Column = {
      name: 'n',
      type: 'double',
      values: Float64Array.from({ length: n }, (_, i) => i),
    };
    const folder = new MemoryFolder('m', { 'a.parquet': encodeParquet([column]) });
    const starts: number[] = [];
    for await (const group of (await openParquet(folder, 'a.parquet')).groups(['n']))
      starts.push(group.start);
    expect(starts).toEqual([0, 100_000]);
    expect(await readColumns(folder, 'a.parquet')).toEqual([column]);
  });

  it('refuses two columns of one name', () => {
    const rows = makeRows(2).map((row) => ({ ...row, carried: { uid: 1 } }));
    expect(() => encodeParquet(rowColumns(rows))).toThrow(UsageError);
  });
});

describe('types of carried fields', () => {
  it.each([
    [[1, null, -3], 'int', [1, null, -3]],
    [[1, 2.5, null], 'double', [1, 2.5, null]],
    [[1, 2 ** 60], 'double', [1, 2 ** 60]],
    [[true, null], 'bool', [true, null]],
    [['a', null], 'string', ['a', null]],
    [[1, 'a', true, null, [1]], 'string', ['1', 'a', 'true', null, '[1]']],
    [[{ a: 1 }], 'string', ['{"a":1}']],
    [[null, null], 'string', [null, null]],
  ])('of %j is %s', (values, type, stored) => {
    expect(inferColumn('f', values)).toEqual({ name: 'f', type, values: stored });
  });
});

describe('reading what others wrote', () => {
  it('says the columns and their types', async () => {
    const file = await openParquet(fixtureFolder('metadata/pool'), '00000000.parquet');
    expect(file.rows).toBe(150);
    expect(Object.fromEntries(file.columns.map(({ name, type }) => [name, type]))).toMatchObject({
      uid: 'BYTE_ARRAY',
      original_width: 'INT64',
      clip_b32_similarity_score: 'FLOAT',
      face_bboxes: 'GROUP',
    });
  });

  it('names the codec it cannot read, and the column that is not there', async () => {
    const folder = fixtureFolder('metadata/odd');
    const read = async (name: string, column: string) => {
      for await (const _ of (await openParquet(folder, name)).groups([column])) {
        // only read
      }
    };
    await expect(read('brotli.parquet', 'text')).rejects.toThrow(/BROTLI.*brotli\.parquet/);
    await expect(read('none.parquet', 'other')).rejects.toThrow(/no column other.*none\.parquet/);
  });

  it.each(['snappy', 'zstd', 'gzip', 'groups'])(
    'answers damage of %s.parquet with a MetadataError',
    async (name) => {
      const whole = fixture(`metadata/odd/${name}.parquet`);
      const change = fc.record({
        at: fc.nat(whole.length - 1),
        byte: fc.nat(255),
        cut: fc.option(fc.nat(whole.length)),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
          const bytes = whole.slice(0, changes[0].cut ?? whole.length);
          for (const { at, byte } of changes) if (at < bytes.length) bytes[at] = byte;
          const folder = new MemoryFolder('m', { 'a.parquet': bytes });
          try {
            const file = await openParquet(folder, 'a.parquet');
            for await (const _ of file.groups(file.columns.map((column) => column.name))) {
              // only read
            }
          } catch (error) {
            expect(error).toBeInstanceOf(MetadataError);
          }
        }),
        { numRuns: 150, seed: 1 },
      );
    },
  );
});
