import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { clipGroup } from '../metadata/columns.ts';
import { inspectFolder, readStats } from '../metadata/folder.ts';
import { type Npz, openNpz } from '../metadata/npz.ts';
import { openParquet } from '../metadata/parquet-read.ts';
import type { EmbeddingFile, Side } from './types.ts';

/** The arrays of a slug in a metadata file's npz, as DataComp names them. */
const ARRAY: { [side in Side]: (slug: string) => string } = {
  image: (slug) => `${slug}_img`,
  text: (slug) => `${slug}_txt`,
};

/**
 * The embeddings beside one parquet. `rows` is the parquet's count: an npz with another count is refused, since its
 * rows would stand for other samples. The npz's directory is read now, its values never before they are asked for.
 * Throws `MetadataError` naming the npz, and the arrays there are where the slug has none.
 */
export async function openEmbeddings(
  folder: Folder,
  shard: string,
  slug: string,
  rows: number,
): Promise<EmbeddingFile> {
  const name = `${folder.label}/${shard}.npz`;
  if (!(await folder.has(`${shard}.npz`))) {
    throw new MetadataError('there are no embeddings beside the parquet', {
      file: name,
      hint: 'Score with embeddings (without --no-embeddings), or fetch the npz files of the metadata too',
    });
  }
  const npz = await openNpz(await folder.open(`${shard}.npz`), name);
  const checked = new Map<Side, Promise<void>>();
  const side = (which: Side): EmbeddingFile[Side] => {
    const array = ARRAY[which](slug);
    return async (wanted) => {
      const known = checked.get(which) ?? checkShape(npz, array, rows, name);
      checked.set(which, known);
      await known;
      return npz.matrix(array, wanted);
    };
  };
  return { name, shard, rows, image: side('image'), text: side('text') };
}

async function checkShape(npz: Npz, array: string, rows: number, name: string): Promise<void> {
  if (!npz.names.includes(array)) {
    const slugs = npz.names.filter((other) => other.endsWith('_img')).map((other) => other.slice(0, -4));
    throw new MetadataError(`no embeddings ${array}`, {
      file: name,
      hint: `There are those of ${slugs.join(', ') || 'no model'}: choose with --slug`,
    });
  }
  const shape = await npz.shape(array);
  if (shape.rows !== rows) {
    throw new MetadataError(`${array} has ${shape.rows} rows, the parquet beside it ${rows}`, {
      file: name,
      hint: 'The two files do not belong together; write or fetch both again',
    });
  }
}

/** The models whose embeddings a file's npz has; none where there is no npz. */
export async function slugsIn(folder: Folder, shard: string): Promise<string[]> {
  if (!(await folder.has(`${shard}.npz`))) return [];
  const { names } = await openNpz(await folder.open(`${shard}.npz`), `${folder.label}/${shard}.npz`);
  return names.filter((name) => name.endsWith('_img')).map((name) => name.slice(0, -'_img'.length));
}

/** The model that is meant where none is named: the only one of the first file. Throws `UsageError` with the choices. */
export async function chooseSlug(folders: readonly Folder[]): Promise<string> {
  for (const folder of folders) {
    const [shard] = (await inspectFolder(folder)).shards;
    if (shard === undefined) continue;
    const slugs = await slugsIn(folder, shard);
    if (slugs.length === 1) return slugs[0];
    throw new UsageError(
      slugs.length === 0 ? 'there are no embeddings' : 'there are embeddings of several models',
      {
        file: `${folder.label}/${shard}.npz`,
        hint:
          slugs.length === 0
            ? 'Score with embeddings (without --no-embeddings), or fetch the npz files of the metadata too'
            : `Name one with --slug: ${slugs.join(', ')}`,
      },
    );
  }
  throw new MetadataError('no metadata here: no .parquet file', { file: folders[0]?.label });
}

/**
 * The embeddings of whole folders, in pool order. Shards of Shardsieve's own folders that are half-written, or that
 * no fingerprint of the slug vouches for, are refused by name.
 */
export async function openPoolEmbeddings(
  folders: readonly Folder[],
  slug: string,
): Promise<{ files: EmbeddingFile[]; notes: string[] }> {
  const files: EmbeddingFile[] = [];
  const notes: string[] = [];
  for (const folder of folders) {
    const there = await inspectFolder(folder);
    notes.push(...there.notes);
    if (there.shards.length === 0) {
      throw new MetadataError('no metadata here: no .parquet file', { file: folder.label });
    }
    for (const shard of there.shards) {
      if (there.kind === 'shardsieve') {
        const stats = await readStats(folder, shard);
        if (stats?.groups[clipGroup(slug)] === undefined) {
          throw new MetadataError(`${folder.label}/${shard} has no finished scores of ${slug}`, {
            hint: 'Run score again to finish it, or choose another --slug',
          });
        }
      }
      const { rows } = await openParquet(folder, `${shard}.parquet`);
      files.push(await openEmbeddings(folder, shard, slug, rows));
    }
  }
  return { files, notes };
}
