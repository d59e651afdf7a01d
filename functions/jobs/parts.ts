/**
 * A part: the scored samples of one window of a shard, until the shard is whole. Its bytes follow from the shard and the
 * job's settings alone, so it does not matter who writes it, or how often.
 *
 * Layout: the length of the JSON in 4 bytes, little-endian; the JSON; the embeddings as float16, array after array.
 */
import type { Column, ColumnGroup } from '../../src/metadata/columns.ts';
import { toFloat16 } from '../../src/metadata/float16.ts';
import type { ClipColumns, Row, Skipped } from '../../src/metadata/table.ts';

export interface Part {
  rows: Row[];
  skipped: Skipped[];
  /** Without embeddings. */
  clips: { slug: string; dim: number; scores: Float32Array }[];
  groups: ColumnGroup[];
}

/** Where an array's float16 values lie in a part. */
export interface StoredBlock {
  name: string;
  dim: number;
  offset: number;
  length: number;
}

interface Head {
  rows: Row[];
  skipped: Skipped[];
  clips: { slug: string; dim: number; scores: number[] }[];
  groups: { name: string; columns: { name: string; type: Column['type']; values: unknown[] }[] }[];
  arrays: { name: string; dim: number }[];
}

const LENGTH_BYTES = 4;

export function encodePart(part: Omit<Part, 'clips'> & { clips: readonly ClipColumns[] }): Uint8Array {
  const { rows, skipped, clips, groups } = part;
  const arrays = clips.flatMap(({ slug, dim, image, text }) => [
    ...(image === undefined ? [] : [{ name: `${slug}_img`, dim, values: image }]),
    ...(text === undefined ? [] : [{ name: `${slug}_txt`, dim, values: text }]),
  ]);
  const head: Head = {
    rows,
    skipped,
    clips: clips.map(({ slug, dim, scores }) => ({ slug, dim, scores: [...scores] })),
    groups: groups.map(({ name, columns }) => ({
      name,
      columns: columns.map((column) => ({ ...column, values: Array.from(column.values, toJson) })),
    })),
    arrays: arrays.map(({ name, dim }) => ({ name, dim })),
  };
  const json = new TextEncoder().encode(JSON.stringify(head));
  const blocks = arrays.map(({ values }) => new Uint8Array(toFloat16(values).buffer));
  const bytes = new Uint8Array(
    LENGTH_BYTES + json.length + blocks.reduce((sum, { length }) => sum + length, 0),
  );
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  let at = LENGTH_BYTES;
  for (const piece of [json, ...blocks]) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

export function decodePart(bytes: Uint8Array): { part: Part; blocks: StoredBlock[] } {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const json = new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
  const head = JSON.parse(json) as Head;
  const { rows, skipped } = head;
  let offset = LENGTH_BYTES + length;
  const blocks = head.arrays.map(({ name, dim }) => {
    const block = { name, dim, offset, length: 2 * dim * rows.length };
    offset += block.length;
    return block;
  });
  const clips = head.clips.map(({ scores, ...clip }) => ({ ...clip, scores: Float32Array.from(scores) }));
  const groups = head.groups.map(({ name, columns }) => ({
    name,
    // As they were given to `encodePart`.
    columns: columns.map((column) => ({ ...column, values: column.values.map(fromJson) }) as Column),
  }));
  return { part: { rows, skipped, clips, groups }, blocks };
}

/** JSON has no NaN. No column has lists of one text in it. */
function toJson(value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? [String(value)] : value;
}

function fromJson(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 && typeof value[0] === 'string'
    ? Number(value[0])
    : value;
}
