import { UsageError } from '../../errors.ts';
import type { SelectEnv } from '../env.ts';
import { loadEntityTable } from '../text-based.ts';
import type { RowFilter } from '../types.ts';
import { captionFilter } from './rows.ts';

/** DataComp's `text_based`: a word of the caption names an entity of ImageNet-21k. */
export async function textBasedFilter({ entities }: SelectEnv): Promise<RowFilter> {
  if (entities === undefined)
    throw new UsageError('text_based needs the table of WordNet entities, which is not here');
  const table = loadEntityTable(await entities());
  return captionFilter((caption) => table.hasEntity(caption));
}
