/**
 * Scores of which some were computed again in fp32: what says so beside them. A row that was refined holds fp32's score
 * (and embeddings) in the columns of its model; the score that it had before stands in a column of its own, so that how
 * far the two precisions lie apart can be read from the metadata, whenever a run goes on.
 */
import { MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import {
  type Column,
  type ColumnGroup,
  clipGroup,
  refinedColumn,
  refineGroup,
  scoreColumn,
  unrefinedColumn,
} from './columns.ts';
import { addColumns, arraysVouchedFor } from './commit.ts';
import { readStats, shardFiles } from './folder.ts';
import { openNpz } from './npz.ts';
import { openParquet } from './parquet-read.ts';
import type { ShardStats } from './stats.ts';

/** Rows of one shard with what fp32 makes of them. */
export interface RefinedRows {
  /** Places in the shard, ascending. */
  rows: Uint32Array;
  scores: Float32Array;
  dim: number;
  /** Unit embeddings `[rows, dim]`, where the shard has some. */
  image?: Float32Array;
  text?: Float32Array;
}

/** What a shard says of its samples by which they are found in its tar. */
export interface RefinableShard {
  stats: ShardStats;
  keys: string[];
  uids: string[];
  /** Whether its npz holds the model's embeddings, so that those of refined rows have to be replaced too. */
  embedded: boolean;
}

/** Throws `MetadataError` where the shard is not committed, or is damaged. */
export async function openRefinable(folder: Folder, shard: string, slug: string): Promise<RefinableShard> {
  const stats = await statsOf(folder, shard);
  const { key, uid } = await textsOf(folder, shard, ['key', 'uid']);
  return { stats, keys: key, uids: uid, embedded: arraysVouchedFor(stats).includes(slug) };
}

/**
 * Puts fp32's scores and embeddings in the place of those that stand there, whole or not at all. The rows that are
 * refined already keep what they have. Throws `MetadataError`, `OutputError`.
 */
export async function writeRefined(
  folder: Folder,
  shard: string,
  slug: string,
  fresh: RefinedRows,
): Promise<void> {
  const { stats, uids, embedded } = await openRefinable(folder, shard, slug);
  const group = refineGroup(slug);
  const names = [scoreColumn(slug), refinedColumn(slug), unrefinedColumn(slug)] as const;
  const [scored, flags, before] = await valuesOf(folder, shard, names);
  const scores = Float32Array.from(scored, Number);
  const refined = flags.map((flag) => flag === true);
  const unrefined = before.map((score) => (typeof score === 'number' ? score : null));
  for (const [i, row] of fresh.rows.entries()) {
    if (!refined[row]) unrefined[row] = scores[row];
    refined[row] = true;
    scores[row] = fresh.scores[i];
  }
  await addColumns(folder, shard, {
    uids,
    clips: [
      {
        slug,
        dim: fresh.dim,
        scores,
        ...(embedded ? await embeddingsOf(folder, shard, slug, fresh) : {}),
      },
    ],
    groups: [groupOf(slug, refined, unrefined)],
    stats: { groups: { [clipGroup(slug)]: stats.groups[clipGroup(slug)], [group]: stats.groups[group] } },
  });
}

export function groupOf(slug: string, refined: boolean[], unrefined: (number | null)[]): ColumnGroup {
  const columns: Column[] = [
    { name: refinedColumn(slug), type: 'bool', values: refined },
    { name: unrefinedColumn(slug), type: 'float', values: unrefined },
  ];
  return { name: refineGroup(slug), columns };
}

async function statsOf(folder: Folder, shard: string): Promise<ShardStats> {
  const stats = await readStats(folder, shard);
  if (stats !== undefined) return stats;
  throw new MetadataError(`${folder.label} has no committed shard of this name`, { shard });
}

async function valuesOf(folder: Folder, shard: string, names: readonly string[]): Promise<unknown[][]> {
  const file = await openParquet(folder, shardFiles(shard).parquet);
  const values = new Map<string, unknown[]>(names.map((name) => [name, []]));
  for await (const { chunks } of file.groups(names)) {
    for (const [name, pieces] of chunks) {
      for (const piece of pieces) for (const value of piece) values.get(name)!.push(value);
    }
  }
  return names.map((name) => values.get(name)!);
}

async function textsOf<Name extends string>(
  folder: Folder,
  shard: string,
  names: readonly Name[],
): Promise<{ [name in Name]: string[] }> {
  const values = await valuesOf(folder, shard, names);
  const texts = names.map((name, i): [Name, string[]] => {
    const lost = values[i].findIndex((value) => typeof value !== 'string');
    if (lost < 0) return [name, values[i].map(String)];
    throw new MetadataError(`row ${lost} has no ${name}`, { shard, column: name });
  });
  return Object.fromEntries(texts) as { [name in Name]: string[] };
}

/** The shard's embeddings with those of the fresh rows in their places. float16 and back is exact. */
async function embeddingsOf(
  folder: Folder,
  shard: string,
  slug: string,
  { rows, dim, image, text }: RefinedRows,
): Promise<{ image: Float32Array; text: Float32Array }> {
  const { npz } = shardFiles(shard);
  const file = await openNpz(await folder.open(npz), npz);
  const patched = async (name: string, fresh: Float32Array | undefined): Promise<Float32Array> => {
    const matrix = await file.matrix(name);
    if (fresh === undefined || matrix.dim !== dim) {
      throw new MetadataError(`${name} has ${matrix.dim} values a row, and fp32 makes ${dim}`, { file: npz });
    }
    for (const [i, row] of rows.entries()) {
      matrix.data.set(fresh.subarray(i * dim, (i + 1) * dim), row * dim);
    }
    return matrix.data;
  };
  return { image: await patched(`${slug}_img`, image), text: await patched(`${slug}_txt`, text) };
}
