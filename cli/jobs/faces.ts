import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { MetadataError, messageOf, UsageError } from '../../src/errors.ts';
import { parseJsonObject } from '../../src/metadata/json.ts';
import { type FaceFile, readFaceTable } from '../../src/subset/face-table.ts';
import type { FaceOptions } from '../../src/subset/faces.ts';
import type { UidSet } from '../../src/uids/uid-set.ts';
import { openFolder } from '../io/folder.ts';

export interface FaceFlags {
  /** Blur the boxes of faces, and encode those pictures anew. */
  applyBlur?: boolean;
  /** Write the boxes into the samples' JSON. */
  injectBlurMetadata?: boolean;
  /** Folders of metadata with `face_bboxes`; without it, boxes are those in the samples' JSON. */
  metadata?: string | readonly string[];
  /** DataComp's file that says which parquet has which shards, instead of `metadata`. */
  blurMetadataMap?: string;
  /** Of pictures that are encoded anew, 1 to 100; 100 by default. */
  webpQuality?: number;
}

/** What resharding does with faces; `undefined` where nothing was asked. Throws `UsageError`, `MetadataError`. */
export async function openFaces(
  flags: FaceFlags,
  subset: UidSet,
  shardFiles: readonly string[],
): Promise<FaceOptions | undefined> {
  const { applyBlur = false, injectBlurMetadata = false, metadata, blurMetadataMap, webpQuality } = flags;
  if (!applyBlur && !injectBlurMetadata) return undefined;
  const folders = typeof metadata === 'string' ? [metadata] : (metadata ?? []);
  if (injectBlurMetadata && folders.length === 0 && blurMetadataMap === undefined) {
    throw new UsageError('boxes to write into the JSON have to come from elsewhere', {
      hint: 'Give the folder of metadata that has them: --metadata DIR',
    });
  }
  const files: FaceFile[] = [];
  for (const folder of folders) files.push(...(await parquetsOf(folder)));
  if (blurMetadataMap !== undefined) files.push(...(await mapped(blurMetadataMap, shardFiles)));
  // The image library is loaded where it is needed.
  const blur = applyBlur ? (await import('../decode/blur.ts')).createBlur(webpQuality) : undefined;
  return {
    ...(files.length > 0 ? { table: await readFaceTable(files, subset) } : {}),
    blur,
    inject: injectBlurMetadata,
  };
}

async function parquetsOf(path: string): Promise<FaceFile[]> {
  const folder = openFolder(path, { readOnly: true });
  const names = (await folder.list()).filter((name) => name.endsWith('.parquet'));
  if (names.length === 0) {
    throw new MetadataError('there is no parquet in this folder of metadata', { file: path });
  }
  return names.map((name) => ({ folder, name }));
}

/** `{ "…": { "parquet": PATH, "shards": [PATH, …] }, … }`: the parquets of the shards that are read. */
async function mapped(path: string, shardFiles: readonly string[]): Promise<FaceFile[]> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new MetadataError(`the map of shards to parquets cannot be read: ${messageOf(cause)}`, {
      file: path,
      cause,
    });
  });
  const wanted = new Set(shardFiles.map((file) => basename(file)));
  const parquets = new Set<string>();
  const covered = new Set<string>();
  for (const [name, entry] of Object.entries(parseJsonObject(bytes, path))) {
    const { parquet, shards } = (entry ?? {}) as { parquet?: unknown; shards?: unknown };
    if (typeof parquet !== 'string' || !Array.isArray(shards)) {
      throw new MetadataError(`its entry ${JSON.stringify(name)} is not {"parquet": …, "shards": […]}`, {
        file: path,
      });
    }
    const ours = shards.map((shard) => basename(String(shard))).filter((shard) => wanted.has(shard));
    for (const shard of ours) covered.add(shard);
    if (ours.length > 0) parquets.add(parquet);
  }
  const missing = [...wanted].filter((shard) => !covered.has(shard));
  if (missing.length > 0) {
    throw new MetadataError(`${missing.length} of the shards are not in the map, ${missing[0]} first`, {
      file: path,
      hint: 'Their faces would pass unblurred',
    });
  }
  return [...parquets].map((parquet) => {
    if (/^\w+:\/\//.test(parquet)) {
      throw new MetadataError(`${parquet} is an address; metadata is read from disk`, { file: path });
    }
    return { folder: openFolder(dirname(parquet), { readOnly: true }), name: basename(parquet) };
  });
}
