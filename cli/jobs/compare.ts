import { stat } from 'node:fs/promises';
import { UsageError } from '../../src/errors.ts';
import {
  type CompareOptions as ComparePools,
  type Comparison,
  comparePools,
} from '../../src/select/compare.ts';
import { openPool } from '../../src/select/pool.ts';
import { openFolder } from '../io/folder.ts';

export interface CompareOptions extends ComparePools {
  /** Two metadata folders, anybody's; one folder may be compared with itself, by two of its columns. */
  folders: readonly [string, string];
}

/** Shares at which subsets are compared where none are asked for. */
export const DEFAULT_FRACTIONS = [0.1, 0.3, 0.5];

/**
 * Compares one pool's scores in two folders. Throws `UsageError` where a folder is not there or a column not to be
 * told, `MetadataError`, `CancelledError`.
 */
export async function compareScores({ folders, ...options }: CompareOptions): Promise<Comparison> {
  const pools = [];
  for (const path of folders) {
    const found = await stat(path).catch(() => undefined);
    if (!found?.isDirectory()) throw new UsageError(`there is no folder ${path}`);
    pools.push(await openPool([openFolder(path, { readOnly: true })]));
  }
  return comparePools(pools[0], pools[1], { fractions: DEFAULT_FRACTIONS, ...options });
}
