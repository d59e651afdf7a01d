import { decompress } from 'fzstd';
import { parquetMetadata, parquetReadObjects, snappyUncompress } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { isShardsieveError } from '../../src/errors.ts';
import { memoryFolder, memorySink } from '../../src/io/memory.ts';
import type { Column } from '../../src/metadata/columns.ts';
import { spliceParquet } from '../../src/metadata/parquet-splice.ts';
import { fixture } from '../helpers/fixtures.ts';

const FILES = ['a', 'b', 'c', 'd'].map((name) => [`${name}.parquet`] as const);

async function rowsOf(bytes: Uint8Array<ArrayBuffer>): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({
    file: bytes.buffer,
    compressors: {
      SNAPPY: (page, length) => {
        const out = new Uint8Array(length);
        snappyUncompress(page, out);
        return out;
      },
      ZSTD: (page, length) => decompress(page, new Uint8Array(length)),
    },
  });
}

/** `row <n>`, null at every third row. */
const label = (row: number) => (row % 3 === 0 ? null : `row ${row}`);

async function splice(bytes: Uint8Array, order?: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const folder = memoryFolder('memory', new Map([['x.parquet', bytes]]));
  let out: Uint8Array<ArrayBuffer> = new Uint8Array();
  const sink = memorySink('out', (all) => {
    out = new Uint8Array(all);
  });
  const names = () => parquetMetadata(new Uint8Array(bytes).buffer).schema;
  await spliceParquet(folder, 'x.parquet', sink, {
    order: order ?? [...new Set([...topNames(names()), 'label', 'value'])],
    async make({ start, rows }): Promise<Column[]> {
      return [
        { name: 'label', type: 'string', values: Array.from({ length: rows }, (_, i) => label(start + i)) },
        { name: 'value', type: 'float', values: Float32Array.from({ length: rows }, (_, i) => start + i) },
      ];
    },
  });
  await sink.commit();
  return out;
}

function topNames(schema: { name: string; num_children?: number }[]): string[] {
  const names: string[] = [];
  const skip = (at: number): number => {
    let next = at + 1;
    for (let child = 0; child < (schema[at].num_children ?? 0); child++) next = skip(next);
    return next;
  };
  for (let at = 1; at < schema.length; at = skip(at)) names.push(schema[at].name);
  return names;
}

describe('columns are added to parquets of any types', () => {
  test.each(FILES)('%s: all that was there has its type, its statistics and its values', async (file) => {
    const before = fixture(`annotate/foreign/${file}`);
    const after = await splice(before);
    const [old, now] = [parquetMetadata(before.buffer), parquetMetadata(after.buffer)];
    expect(now.num_rows).toBe(old.num_rows);
    expect(now.schema.slice(1, old.schema.length)).toEqual(old.schema.slice(1));
    expect(now.schema.slice(old.schema.length).map(({ name }) => name)).toEqual(['label', 'value']);
    for (const [g, group] of old.row_groups.filter(({ num_rows }) => num_rows > 0n).entries()) {
      expect(now.row_groups[g].num_rows).toBe(group.num_rows);
      for (const [c, { meta_data: was }] of group.columns.entries()) {
        const { data_page_offset, dictionary_page_offset, ...kept } = was!;
        expect(now.row_groups[g].columns[c].meta_data).toMatchObject(kept);
      }
    }
    const rows = await rowsOf(after);
    const expected = (await rowsOf(before)).map((row, i) => ({ ...row, label: label(i), value: i }));
    expect(rows).toEqual(expected);
  });

  test('twice, the first time’s columns may go or stay, in any order', async () => {
    const before = fixture('annotate/foreign/b.parquet');
    const once = await splice(before);
    expect(await splice(once)).toEqual(once);
    const few = await splice(once, ['value', 'face_bboxes', 'label', 'uid']);
    const rows = await rowsOf(few);
    expect(Object.keys(rows[0])).toEqual(['value', 'face_bboxes', 'label', 'uid']);
    const [uid] = await rowsOf(before);
    expect(rows[0]).toEqual({ value: 0, face_bboxes: uid['face_bboxes'], label: null, uid: uid['uid'] });
  });
});

describe('damage', () => {
  test('cut anywhere in the footer, it is refused', async () => {
    const whole = fixture('annotate/foreign/c.parquet');
    const length = new DataView(whole.buffer).getUint32(whole.length - 8, true);
    for (let cut = 1; cut < length; cut += 97) {
      // The footer ends `cut` bytes early, behind a length that agrees.
      const bytes = new Uint8Array(whole.length - cut);
      bytes.set(whole.subarray(0, whole.length - 8 - cut));
      bytes.set(whole.subarray(whole.length - 8), bytes.length - 8);
      new DataView(bytes.buffer).setUint32(bytes.length - 8, length - cut, true);
      await expect(splice(bytes, ['uid', 'label', 'value'])).rejects.toThrow(/columns cannot be added/);
    }
  });

  test('a flipped byte of the footer ends in an error of ours or in a file, never in anything else', async () => {
    const whole = fixture('annotate/foreign/d.parquet');
    const length = new DataView(whole.buffer).getUint32(whole.length - 8, true);
    let refused = 0;
    for (let at = whole.length - 8 - length; at < whole.length; at += 7) {
      const bytes = whole.slice();
      bytes[at] ^= 0x55;
      try {
        await splice(bytes, ['uid', 'label', 'value']);
      } catch (error) {
        expect(isShardsieveError(error)).toBe(true);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(10);
  });

  test.each([
    ['empty', new Uint8Array()],
    ['short', new TextEncoder().encode('PAR1')],
    ['text', new TextEncoder().encode('this is no parquet at all, is it')],
  ])('%s: not a readable parquet', async (_, bytes) => {
    await expect(splice(bytes, ['label', 'value'])).rejects.toThrow('not a readable parquet');
  });
});
