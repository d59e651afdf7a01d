/** Annotating the rows of a shard that has just been scored, before they are written. */
import type { Column, ColumnGroup } from '../metadata/columns.ts';
import { ROW_GROUP_ROWS } from '../metadata/parquet-write.ts';
import type { ShardTable } from '../metadata/table.ts';
import { joinColumns } from '../score/judge.ts';
import { checkColumns, ROWS } from './batches.ts';
import { roundToFloat16 } from './half.ts';
import { type Annotator, needsPictures, type RowAnnotator } from './types.ts';

/** What has been made of a shard in the pass. */
export interface Scored {
  shard: string;
  table: ShardTable;
  /** Columns that were made of the pictures, a batch at a time. */
  judged: ReadonlyMap<Annotator, Column[][]>;
}

/**
 * The groups of `annotators`, with the values that they would have if they were added later: the same rows together, the
 * embeddings rounded as they are stored. What is made of other groups is made where all of those are here.
 */
export async function annotateTable(
  { shard, table, judged }: Scored,
  annotators: readonly Annotator[],
): Promise<ColumnGroup[]> {
  const rows = table.rows.length;
  const groups: ColumnGroup[] = [];
  const embeddings = new Map<string, { dim: number; image: Float32Array }>();
  for (const { slug, dim, image } of table.clips) {
    if (image === undefined || !annotators.some(({ needs }) => needs.includes(`embeddings:${slug}`)))
      continue;
    embeddings.set(slug, { dim, image: roundToFloat16(image) });
  }
  const add = (annotator: Annotator, batches: Column[][]): void => {
    groups.push({ name: annotator.group, columns: joinColumns(annotator.schema, batches) });
  };
  for (const annotator of annotators) {
    if (needsPictures(annotator)) add(annotator, judged.get(annotator) ?? []);
    else if (annotator.of === undefined) {
      const batches: Column[][] = [];
      for (const [start, end] of batchesOf(rows)) {
        const batch = {
          ...{ shard, file: shard, start, rows: end - start },
          text: table.rows.slice(start, end).map(({ text }) => text),
          embeddings: new Map(
            [...embeddings].map(([slug, { dim, image }]) => [
              slug,
              { dim, image: image.subarray(start * dim, end * dim) },
            ]),
          ),
        };
        batches.push(checkColumns(annotator, await annotator.columns(batch), batch));
      }
      add(annotator, batches);
    }
  }
  for (const annotator of annotators.filter((one): one is RowAnnotator => 'of' in one)) {
    const there = new Set(groups.map(({ name }) => name));
    if (!annotator.of?.every((group) => there.has(group))) continue;
    const numbers = new Map<string, ArrayLike<number | null>>();
    for (const { name, type, values } of groups.flatMap(({ columns }) => columns))
      if (type === 'float' || type === 'double' || type === 'int') numbers.set(name, values);
    const batch = { shard, file: shard, start: 0, rows, numbers };
    add(annotator, [checkColumns(annotator, await annotator.columns(batch), batch)]);
  }
  return groups;
}

/** As rows are batched when they are read from a parquet. */
function* batchesOf(rows: number): Generator<[number, number]> {
  for (let group = 0; group < rows; group += ROW_GROUP_ROWS) {
    const end = Math.min(rows, group + ROW_GROUP_ROWS);
    for (let start = group; start < end; start += ROWS) yield [start, Math.min(end, start + ROWS)];
  }
}
