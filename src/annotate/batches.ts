/** The rows of a metadata shard as annotators take them. */
import { CancelledError, MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import type { Column } from '../metadata/columns.ts';
import { type Npz, openNpz } from '../metadata/npz.ts';
import type { ParquetFile } from '../metadata/parquet-read.ts';
import type { AnnotateBatch, Annotator, BatchEmbeddings, Need, PictureSource } from './types.ts';

/** Long enough that threads are busy, short enough that progress is seen. */
const ROWS = 16_384;
/** With pictures, which are large. */
const ROWS_WITH_PICTURES = 256;

export interface ShardRows {
  folder: Folder;
  shard: string;
  parquet: ParquetFile;
  /** For messages: the folder and the file. */
  file: string;
  pictures?: PictureSource;
  onRows?: (rows: number) => void;
  signal?: AbortSignal;
}

/**
 * What annotators say of a shard, a row group at a time: for each row group the columns of all annotators, in order.
 * Held in memory: what is needed of one row group. Throws `MetadataError` where something needed is not there.
 */
export async function* annotateGroups(
  source: ShardRows,
  annotators: readonly Annotator[],
): AsyncGenerator<{ start: number; rows: number; columns: Column[][] }> {
  const { parquet, shard, file, signal } = source;
  const needs = new Set(annotators.flatMap((annotator) => annotator.needs));
  const npz = await openEmbeddings(source, needs);
  const pictures = needs.has('image_bytes') ? await source.pictures?.open(shard) : undefined;
  const read = [...(needs.has('text') ? ['text'] : []), ...(pictures ? ['uid'] : [])];
  for (const column of read) checkColumn(source, column);
  const step = pictures ? ROWS_WITH_PICTURES : ROWS;
  try {
    for await (const { start, rows, chunks } of parquet.groups(read)) {
      if (rows === 0) continue;
      const text = chunks.has('text') ? strings(chunks.get('text')!, file, 'text', start) : undefined;
      const uids = chunks.has('uid') ? strings(chunks.get('uid')!, file, 'uid', start) : undefined;
      const pieces: Column[][][] = annotators.map(() => []);
      for (let from = 0; from < rows; from += step) {
        if (signal?.aborted) throw new CancelledError();
        const to = Math.min(rows, from + step);
        const batch: AnnotateBatch = {
          shard,
          file,
          start: start + from,
          rows: to - from,
          ...(text ? { text: text.slice(from, to) } : {}),
          ...(npz ? { embeddings: await embeddingsOf(npz, needs, start + from, start + to) } : {}),
          ...(pictures ? { imageBytes: await pictures.next(present(uids!.slice(from, to), file)) } : {}),
        };
        for (const [i, annotator] of annotators.entries()) {
          pieces[i].push(checkBatch(annotator, await annotator.columns(batch), batch));
        }
        source.onRows?.(to - from);
      }
      yield { start, rows, columns: annotators.map(({ schema }, i) => join(schema, pieces[i])) };
    }
  } finally {
    await pictures?.close();
  }
}

async function openEmbeddings(source: ShardRows, needs: ReadonlySet<Need>): Promise<Npz | undefined> {
  const slugs = slugsOf(needs);
  if (slugs.length === 0) return undefined;
  const { folder, shard, file, parquet } = source;
  const name = `${shard}.npz`;
  const label = `${folder.label}/${name}`;
  if (!(await folder.has(name))) {
    throw new MetadataError(`no embeddings beside ${file}`, {
      file: label,
      hint: 'Score the shard with embeddings first',
    });
  }
  const npz = await openNpz(await folder.open(name), label);
  for (const array of slugs.flatMap((slug) => [`${slug}_img`, `${slug}_txt`])) {
    const { rows } = await npz.shape(array);
    if (rows === parquet.rows) continue;
    throw new MetadataError(`${array} has ${rows} rows and ${file} ${parquet.rows}`, { file: label });
  }
  return npz;
}

async function embeddingsOf(
  npz: Npz,
  needs: ReadonlySet<Need>,
  start: number,
  end: number,
): Promise<Map<string, BatchEmbeddings>> {
  const found = new Map<string, BatchEmbeddings>();
  for (const slug of slugsOf(needs)) {
    const image = await npz.matrix(`${slug}_img`, { start, end });
    const text = await npz.matrix(`${slug}_txt`, { start, end });
    found.set(slug, { dim: image.dim, image: image.data, text: text.data });
  }
  return found;
}

function slugsOf(needs: ReadonlySet<Need>): string[] {
  const prefix = 'embeddings:';
  return [...needs].filter((need) => need.startsWith(prefix)).map((need) => need.slice(prefix.length));
}

function checkColumn({ parquet, file }: ShardRows, column: string): void {
  const found = parquet.columns.find(({ name }) => name === column);
  if (found?.type === 'BYTE_ARRAY') return;
  throw new MetadataError(
    found === undefined ? `no column ${column}` : `${column} is ${found.type}, not text`,
    { file, column, hint: `There is ${parquet.columns.map(({ name }) => name).join(', ')}` },
  );
}

function strings(
  pieces: readonly ArrayLike<unknown>[],
  file: string,
  column: string,
  start: number,
): (string | null)[] {
  const all: (string | null)[] = [];
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i++) {
      const value = piece[i] ?? null;
      if (value !== null && typeof value !== 'string') {
        throw new MetadataError(`row ${start + all.length} holds no text`, { file, column });
      }
      all.push(value);
    }
  }
  return all;
}

function present(uids: readonly (string | null)[], file: string): string[] {
  return uids.map((uid) => {
    if (uid !== null) return uid;
    throw new MetadataError('a row without a uid cannot be found in the shards', { file, column: 'uid' });
  });
}

function checkBatch(
  { schema, group }: Annotator,
  columns: Column[],
  { rows, file }: AnnotateBatch,
): Column[] {
  const fits = (column: Column | undefined, i: number) =>
    column?.name === schema[i].name && column.type === schema[i].type && column.values.length === rows;
  if (columns.length === schema.length && schema.every((_, i) => fits(columns[i], i))) return columns;
  throw new MetadataError(`${group} gave other columns than it said`, { file });
}

/** Batches' columns end to end, as plain values: whether a batch held a null shall not change the column's type. */
function join(schema: Annotator['schema'], batches: readonly Column[][]): Column[] {
  return schema.map(({ name, type }, i) => {
    const values = batches.flatMap((columns) => [...columns[i].values]);
    // The types were compared with the schema, batch by batch.
    return { name, type, values } as Column;
  });
}
