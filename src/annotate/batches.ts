/** The rows of a metadata shard as annotators take them. */
import { CancelledError, MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import type { Column } from '../metadata/columns.ts';
import { type Npz, openNpz } from '../metadata/npz.ts';
import type { ParquetFile } from '../metadata/parquet-read.ts';
import { joinColumns, type PictureReading } from '../score/judge.ts';
import { roundToFloat16 } from './half.ts';
import { Looker, type Looks } from './looks.ts';
import {
  type AnnotateBatch,
  type Annotator,
  type BatchEmbeddings,
  needsPictures,
  type PictureAnnotator,
  type PictureSource,
  type RowAnnotator,
} from './types.ts';

/** Long enough that threads are busy, short enough that progress is seen. */
export const ROWS = 16_384;
/** Of pictures, which are large: looks of twice as many are held. */
const PICTURES = 64;

export interface ShardRows {
  folder: Folder;
  shard: string;
  parquet: ParquetFile;
  /** For messages: the folder and the file. */
  file: string;
  pictures?: PictureSource;
  reading?: PictureReading;
  onRows?: (rows: number) => void;
  signal?: AbortSignal;
}

interface Rows {
  /** Of the first row in the shard. */
  start: number;
  rows: number;
  text?: (string | null)[];
  uids?: string[];
  /** Columns that are there already. */
  numbers: Map<string, ArrayLike<number | null>>;
}

/**
 * What annotators say of a shard, a row group at a time: for each row group the columns of all annotators, in order.
 * Held in memory: what is needed of one row group. Throws `MetadataError` where something needed is not there.
 */
export async function* annotateGroups(
  source: ShardRows,
  annotators: readonly Annotator[],
): AsyncGenerator<{ start: number; rows: number; columns: Column[][] }> {
  const { parquet, shard, file } = source;
  const pictured = annotators.filter(needsPictures);
  const derived = annotators.filter(isDerived);
  const plain = annotators.filter((one): one is RowAnnotator => !needsPictures(one) && !isDerived(one));
  const made = new Set(annotators.flatMap(({ schema }) => schema.map(({ name }) => name)));
  const earlier = namesOf(annotators, 'column').filter((name) => !made.has(name));
  const texts = [
    ...(annotators.some(({ needs }) => needs.includes('text')) ? ['text'] : []),
    ...(pictured.length > 0 ? ['uid'] : []),
  ];
  for (const column of texts) checkColumn(source, column);
  const npz = await openEmbeddings(source, namesOf(annotators, 'embeddings'));
  const pictures = pictured.length > 0 ? await openPictures(source, pictured) : undefined;
  try {
    for await (const { start, rows, chunks } of parquet.groups([...texts, ...earlier])) {
      if (rows === 0) continue;
      const text = chunks.has('text') ? strings(chunks.get('text')!, file, 'text', start) : undefined;
      const uids = chunks.has('uid') ? present(strings(chunks.get('uid')!, file, 'uid', start), file) : [];
      const numbers = new Map(earlier.map((name) => [name, numbersIn(chunks.get(name)!, file, name)]));
      const group: Rows = { start, rows, text, uids, numbers };
      const found = new Map<Annotator, Column[]>();
      for (const [one, columns] of await rowColumns(source, plain, group, npz)) found.set(one, columns);
      if (pictures !== undefined) {
        for (const [one, columns] of await pictures.columns(group)) found.set(one, columns);
      }
      for (const columns of found.values())
        for (const { name, type, values } of columns)
          if (type === 'float' || type === 'double' || type === 'int') numbers.set(name, values);
      for (const one of derived) {
        const batch = { shard, file, start, rows, numbers };
        found.set(one, checkColumns(one, await one.columns(batch), batch));
      }
      // Where pictures are looked at, they are what takes the time.
      if (pictures === undefined && plain.length === 0) source.onRows?.(rows);
      yield { start, rows, columns: annotators.map((one) => found.get(one)!) };
    }
  } finally {
    await pictures?.close();
  }
}

function isDerived(annotator: Annotator): annotator is RowAnnotator {
  return 'of' in annotator;
}

async function rowColumns(
  source: ShardRows,
  annotators: readonly RowAnnotator[],
  { start, rows, text }: Rows,
  npz: Npz | undefined,
): Promise<[Annotator, Column[]][]> {
  if (annotators.length === 0) return [];
  const { shard, file, signal } = source;
  const slugs = namesOf(annotators, 'embeddings');
  const pieces: Column[][][] = annotators.map(() => []);
  for (let from = 0; from < rows; from += ROWS) {
    if (signal?.aborted) throw new CancelledError();
    const to = Math.min(rows, from + ROWS);
    const batch: AnnotateBatch = {
      ...{ shard, file, start: start + from, rows: to - from },
      ...(text ? { text: text.slice(from, to) } : {}),
      ...(npz ? { embeddings: await embeddingsOf(npz, slugs, start + from, start + to) } : {}),
    };
    for (const [i, annotator] of annotators.entries()) {
      pieces[i].push(checkColumns(annotator, await annotator.columns(batch), batch));
    }
    if (source.pictures === undefined) source.onRows?.(to - from);
  }
  return annotators.map((annotator, i) => [annotator, joinColumns(annotator.schema, pieces[i])]);
}

/** Runs what looks at pictures; the next pictures are decoded while these are judged. */
async function openPictures(source: ShardRows, annotators: readonly PictureAnnotator[]) {
  const { pictures, reading, file, shard, signal } = source;
  if (pictures === undefined || reading === undefined) {
    throw new UsageError(`${annotators[0].group} needs the pictures`, { hint: 'Give the shards too' });
  }
  const open = await pictures.open(shard);
  const looker = new Looker(
    annotators.map((annotator) => annotator.pictures),
    reading,
  );
  return {
    async columns({ start, rows, uids = [] }: Rows): Promise<[Annotator, Column[]][]> {
      const pieces: Column[][][] = annotators.map(() => []);
      const all = new Set(uids);
      const look = async (some: string[]): Promise<Looks> => looker.look(await open.next(some, all));
      let next = look(uids.slice(0, PICTURES));
      for (let from = 0; from < rows; from += PICTURES) {
        if (signal?.aborted) {
          await next.catch(() => {});
          throw new CancelledError();
        }
        const looks = await next;
        const to = Math.min(rows, from + PICTURES);
        next = look(uids.slice(to, to + PICTURES));
        // Awaited in its turn: until then a failure is nobody's.
        next.catch(() => {});
        const batch = { shard, file, start: start + from, rows: to - from };
        try {
          for (const [i, annotator] of annotators.entries()) {
            pieces[i].push(checkColumns(annotator, await annotator.pictures.judge(looks[i]), batch));
          }
        } catch (error) {
          await next.catch(() => {});
          throw error;
        }
        source.onRows?.(to - from);
      }
      await next;
      return annotators.map((annotator, i) => [annotator, joinColumns(annotator.schema, pieces[i])]);
    },
    close: () => open.close(),
  };
}

async function openEmbeddings(source: ShardRows, slugs: readonly string[]): Promise<Npz | undefined> {
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
  for (const array of slugs.map((slug) => `${slug}_img`)) {
    const { rows } = await npz.shape(array);
    if (rows === parquet.rows) continue;
    throw new MetadataError(`${array} has ${rows} rows and ${file} ${parquet.rows}`, { file: label });
  }
  return npz;
}

async function embeddingsOf(
  npz: Npz,
  slugs: readonly string[],
  start: number,
  end: number,
): Promise<Map<string, BatchEmbeddings>> {
  const found = new Map<string, BatchEmbeddings>();
  for (const slug of slugs) {
    const { width } = await npz.shape(`${slug}_img`);
    const { dim, data } = await npz.matrix(`${slug}_img`, { start, end });
    found.set(slug, { dim, image: width === 2 ? data : roundToFloat16(data) });
  }
  return found;
}

/** What stands behind `kind:` in the needs of some annotators. */
function namesOf(annotators: readonly Annotator[], kind: 'embeddings' | 'column'): string[] {
  const prefix = `${kind}:`;
  const needs = new Set(annotators.flatMap((annotator) => annotator.needs));
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

/** Numbers with nulls; what is no number is refused. */
function numbersIn(
  pieces: readonly ArrayLike<unknown>[],
  file: string,
  column: string,
): ArrayLike<number | null> {
  const all: (number | null)[] = [];
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i++) {
      const value = piece[i] ?? null;
      if (value !== null && typeof value !== 'number' && typeof value !== 'bigint') {
        throw new MetadataError('a column of probabilities holds no numbers', { file, column });
      }
      all.push(value === null ? null : Number(value));
    }
  }
  return all;
}

/** Throws `MetadataError` where columns are not those that their group said. */
export function checkColumns(
  { schema, group }: Annotator,
  columns: Column[],
  { rows, file }: Pick<AnnotateBatch, 'rows' | 'file'>,
): Column[] {
  const fits = (column: Column | undefined, i: number) =>
    column?.name === schema[i].name && column.type === schema[i].type && column.values.length === rows;
  if (columns.length === schema.length && schema.every((_, i) => fits(columns[i], i))) return columns;
  throw new MetadataError(`${group} gave other columns than it said`, { file });
}
