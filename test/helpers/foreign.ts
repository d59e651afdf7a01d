import { parquetWriteBuffer } from 'hyparquet-writer';
import { parseFilters } from '../../src/select/parse.ts';
import { selectSubset } from '../../src/select/select.ts';
import type { FilterInput } from '../../src/select/spec.ts';
import { formatUid } from '../../src/uids/uids.ts';
import { MemoryFolder } from './memory-folder.ts';
import { makeUid } from './tables.ts';

/** Columns by name; texts, numbers (doubles; `Float32Array` for floats) and booleans as they are. */
export type Table = { [column: string]: readonly (string | number | boolean | null)[] | Float32Array };

/**
 * A folder as DataComp publishes it: parquets and nothing else. A table without uids gets those of `makeUid`. Numbers
 * of `integers` are INT32.
 */
export function foreignFolder(
  files: { [name: string]: Table },
  label = 'foreign',
  integers: readonly string[] = [],
): MemoryFolder {
  let next = 0;
  const parquets = Object.entries(files).map(([name, table]) => {
    const rows = Object.values(table)[0].length;
    const uids = Array.from({ length: rows }, (_, i) => makeUid(next + i));
    next += rows;
    const columnData = Object.entries({ uid: uids, ...table }).map(([column, data]) => ({
      ...{
        name: column,
        data,
        type: integers.includes(column) ? ('INT32' as const) : typeOf(data),
        nullable: true,
      },
    }));
    return [`${name}.parquet`, new Uint8Array(parquetWriteBuffer({ columnData }))] as const;
  });
  return new MemoryFolder(label, Object.fromEntries(parquets));
}

function typeOf(values: Table[string]): 'FLOAT' | 'DOUBLE' | 'BOOLEAN' | 'STRING' {
  if (values instanceof Float32Array) return 'FLOAT';
  const sample = values.find((value) => value !== null);
  return typeof sample === 'boolean' ? 'BOOLEAN' : typeof sample === 'number' ? 'DOUBLE' : 'STRING';
}

/** The numbers (from `makeUid`) of the rows that filters keep, sorted, and the rest of the selection. */
export async function keptBy(
  folder: MemoryFolder,
  filters: readonly (FilterInput | unknown)[],
  options: Omit<Parameters<typeof selectSubset>[1], 'filters'> = {},
) {
  const selection = await selectSubset([folder], { ...options, filters: parseFilters(filters) });
  const { uids } = selection;
  const kept = Array.from({ length: uids.length / 2 }, (_, i) => Number.parseInt(formatUid(uids, i), 16) - 1);
  return { ...selection, kept };
}
