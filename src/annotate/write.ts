/** Writing a shard's parquet with columns added: the other columns' pages are copied as they lie. */
import { AccountingError } from '../errors.ts';
import type { Folder, Sink } from '../io/bytes.ts';
import { spliceParquet } from '../metadata/parquet-splice.ts';
import { annotateGroups, type ShardRows } from './batches.ts';
import type { AnnotateTotals } from './job.ts';
import type { Annotator } from './types.ts';

export interface Added {
  /** Where the parquet lies now; `rows.folder` has the embeddings. */
  from: Folder;
  name: string;
  rows: ShardRows;
  annotators: readonly Annotator[];
  /** All columns, old and new, in order. */
  order: readonly string[];
  totals: AnnotateTotals;
}

/** Throws what annotators throw, `MetadataError`, `OutputError`. */
export async function writeAdded(sink: Sink, added: Added): Promise<void> {
  const { from, name, annotators, order, totals } = added;
  const groups = annotateGroups(added.rows, annotators);
  try {
    await spliceParquet(from, name, sink, {
      order,
      async make({ start, rows }) {
        if (rows === 0)
          return annotators.flatMap(({ schema }) => schema.map((one) => ({ ...one, values: [] })));
        const { value } = await groups.next();
        if (!value || value.start !== start || value.rows !== rows) {
          throw new AccountingError(`row group at ${start} was read as another`, { file: added.rows.file });
        }
        for (const [i, { group }] of annotators.entries()) {
          const total = totals.groups.find((one) => one.group === group);
          for (const one of value.columns[i][0].values) if (total && one === null) total.unjudged++;
        }
        return value.columns.flat();
      },
    });
  } finally {
    await groups.return(undefined);
  }
}
