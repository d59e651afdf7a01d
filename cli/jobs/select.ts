import { basename, dirname } from 'node:path';
import { type Selection, selectSubset as selectRows } from '../../src/select/select.ts';
import { type SubsetCounts, writeSubset } from '../../src/subset/npy.ts';
import { openFolder } from '../io/folder.ts';

export interface SelectOptions {
  /** One or more metadata folders: Shardsieve's, DataComp's, dataset2metadata's. */
  metadata: string | readonly string[];
  /** Keep scores at or above this, compared in the column's own type. Either this or `fraction`. */
  threshold?: number;
  /** Keep this share of the rows, `(0, 1]`; ties with the last one stay. */
  fraction?: number;
  /** Default: the only `clip_…_similarity_score` there is. */
  column?: string;
  /** The subset file to write. */
  out: string;
  /** Keep repeated uids. */
  multiset?: boolean;
}

export interface SelectTotals extends Omit<Selection, 'uids'>, SubsetCounts {
  /** The subset file. */
  out: string;
}

/**
 * Selects rows by a score and writes DataComp's sorted `u8,u8` npy. Throws `UsageError`, `MetadataError`,
 * `OutputError`.
 */
export async function selectSubset(options: SelectOptions): Promise<SelectTotals> {
  const folders = typeof options.metadata === 'string' ? [options.metadata] : options.metadata;
  const { threshold, fraction, column } = options;
  const { uids, ...selection } = await selectRows(
    folders.map((folder) => openFolder(folder, { readOnly: true })),
    { threshold, fraction, column },
  );
  const folder = openFolder(dirname(options.out));
  const counts = await writeSubset(folder, basename(options.out), uids, {
    multiset: options.multiset ?? false,
  });
  return { ...selection, ...counts, out: options.out };
}
