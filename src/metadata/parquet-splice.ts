import { AccountingError, MetadataError } from '../errors.ts';
import type { Folder, Sink } from '../io/bytes.ts';
import type { Column } from './columns.ts';
import { type Chunk, encodeFooter, type Footer, moveChunk, parseFooter } from './parquet-footer.ts';
import { encodeParquet } from './parquet-write.ts';

/**
 * Adds columns to a parquet without decoding the others: their pages are copied byte by byte, whatever their type,
 * encoding or compression, and what the footer says of them with them. Held in memory: the new columns of one row
 * group, and 8 MB of what is copied.
 *
 * Left behind are page indexes, bloom filters (both only speed up reading) and Arrow's own copy of the schema, which
 * would no longer be true; a dictionary-typed Arrow column reads as plain strings then.
 */

const MAGIC = new TextEncoder().encode('PAR1');
const COPY_BYTES = 8 * 1024 * 1024;
/** Larger footers are damage. */
const MAX_FOOTER_BYTES = 2 ** 30;

export interface Splice {
  /** All columns of the new file by name, old and new, in order. Old ones not named are left out. */
  order: readonly string[];
  /** The new columns of one row group, the same names and types for each; any value may be null. */
  make(group: { start: number; rows: number }): Promise<Column[]>;
}

type Source = Awaited<ReturnType<Folder['open']>>;

/** Writes the parquet `name` of `folder` to `sink`, with other columns. Throws `MetadataError`, `OutputError`. */
export async function spliceParquet(folder: Folder, name: string, sink: Sink, splice: Splice): Promise<void> {
  const source = await folder.open(name);
  const footer = await readFooter(source, `${folder.label}/${name}`);
  const columns = new Map(footer.columns);
  const groups: Parameters<typeof encodeFooter>[2][number][] = [];
  let at = MAGIC.length;
  let start = 0;
  await sink.write(MAGIC);
  // With no row group there is still a schema to be had from columns of no rows.
  const filled = footer.groups.filter(({ rows }) => rows > 0);
  for (const group of filled.length > 0 ? filled : [undefined]) {
    const rows = group?.rows ?? 0;
    const fresh = await encodeFresh(splice, start, rows);
    for (const [column, top] of fresh.footer.columns) columns.set(column, top);
    start += rows;
    if (group === undefined) continue;
    const place = at;
    const chunks: Chunk[] = [];
    for (const column of splice.order) {
      const own = fresh.footer.groups[0]?.chunks.get(column);
      for (const chunk of own ?? group.chunks.get(column) ?? []) {
        chunks.push(moveChunk(chunk, at));
        if (own) await sink.write(fresh.bytes.subarray(chunk.start, chunk.start + chunk.length));
        else await copy(source, chunk, sink);
        at += chunk.length;
      }
    }
    groups.push({ describe: group.describe, start: place, chunks });
  }
  const tops = splice.order.map((column) => {
    const top = columns.get(column);
    if (top === undefined) throw new AccountingError(`no column ${column} to write`, { file: name });
    return top;
  });
  const bytes = encodeFooter(footer, tops, groups);
  const tail = new Uint8Array(8);
  new DataView(tail.buffer).setUint32(0, bytes.length, true);
  tail.set(MAGIC, 4);
  await sink.write(bytes);
  await sink.write(tail);
}

async function copy(source: Source, { start, length }: Chunk, sink: Sink): Promise<void> {
  for (let done = 0; done < length; done += COPY_BYTES) {
    await sink.write(await source.slice(start + done, start + Math.min(length, done + COPY_BYTES)));
  }
}

/** New columns as a parquet of their own, of one row group: what is spliced in. */
async function encodeFresh(
  { make, order }: Splice,
  start: number,
  rows: number,
): Promise<{ bytes: Uint8Array; footer: Footer }> {
  const columns = await make({ start, rows });
  for (const { name, values } of columns) {
    if (!order.includes(name)) throw new AccountingError('a new column without a place', { column: name });
    if (values.length !== rows) {
      throw new AccountingError(`${values.length} values for ${rows} rows`, { column: name });
    }
  }
  const bytes = encodeParquet(columns.map(nullable), { rowGroupRows: Math.max(1, rows) });
  return { bytes, footer: footerOf(bytes) };
}

/** Typed arrays would make the column of this row group required, and another's perhaps not. */
function nullable(column: Column): Column {
  if (column.type === 'float') return { ...column, values: [...column.values] };
  if (column.type === 'double') return { ...column, values: [...column.values] };
  return column;
}

function footerOf(bytes: Uint8Array): Footer {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 8, true);
  return parseFooter(bytes.subarray(bytes.length - 8 - length, bytes.length - 8), 'new columns');
}

async function readFooter(source: Source, file: string): Promise<Footer> {
  const tail = await source.slice(Math.max(0, source.size - 8), source.size);
  const length = tail.length < 8 ? 0 : new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
  const magic = new TextDecoder().decode(tail.subarray(4));
  if (magic !== 'PAR1' || length > Math.min(source.size - 12, MAX_FOOTER_BYTES)) {
    throw new MetadataError(magic === 'PARE' ? 'this parquet is encrypted' : 'not a readable parquet', {
      file,
    });
  }
  return parseFooter(await source.slice(source.size - 8 - length, source.size - 8), file);
}
