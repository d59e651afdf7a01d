import { MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { openParquet } from '../metadata/parquet-read.ts';
import { parseUids } from '../uids/parquet-uids.ts';
import type { UidSet } from '../uids/uid-set.ts';
import { type Uids, wordsOf } from '../uids/uids.ts';
import type { FaceTable } from './faces.ts';

/** A parquet with `uid` and `face_bboxes`, in a folder of metadata. */
export interface FaceFile {
  folder: Folder;
  name: string;
}

const COLUMN = 'face_bboxes';

/**
 * Reads the boxes of the subset's samples from metadata, DataComp's or Shardsieve's. Holds a bit of memory for each
 * entry of the subset, and the boxes of those that have any. A uid that stands there more than once has the boxes of
 * its first row, unless that has none.
 *
 * Throws `MetadataError` where a parquet has no such columns or is damaged, or a uid is malformed. Whether boxes make
 * sense is looked at when they are used.
 */
export async function readFaceTable(files: readonly FaceFile[], subset: UidSet): Promise<FaceTable> {
  const known = new Uint8Array(subset.size);
  const boxes = new Map<number, unknown>();
  for (const { folder, name } of files) {
    const parquet = await openParquet(folder, name);
    for (const column of ['uid', COLUMN]) {
      if (parquet.columns.some((there) => there.name === column)) continue;
      throw new MetadataError('boxes of faces are looked for in this metadata, and it has no such column', {
        ...{ file: `${folder.label}/${name}`, column },
        hint: 'Leave out --metadata to take the boxes from the JSON of the samples',
      });
    }
    for await (const { start, rows, chunks } of parquet.groups(['uid', COLUMN], { bytes: true })) {
      const uids: Uids = new BigUint64Array(2 * rows);
      parseUids(chunks.get('uid')!, wordsOf(uids), { file: `${folder.label}/${name}`, start });
      let row = 0;
      for (const piece of chunks.get(COLUMN)!) {
        for (const value of piece) {
          const index = subset.findIn(uids, row++);
          if (index < 0) continue;
          known[index] = 1;
          const isNone =
            value === null || value === undefined || (Array.isArray(value) && value.length === 0);
          if (!isNone && !boxes.has(index)) boxes.set(index, value);
        }
      }
    }
  }
  return {
    get(uid) {
      const index = subset.find(uid);
      return index < 0 || known[index] === 0 ? undefined : (boxes.get(index) ?? null);
    },
  };
}
