import { MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { isNpy, npyHeader, parseNpyHeader } from '../metadata/npy.ts';
import { countDistinct, dropRepeats, isSorted, sortUids, type Uids } from './uids.ts';

/**
 * DataComp's subset file: `np.save` of a sorted one-dimensional array of dtype `u8,u8`, the uid's upper and
 * lower 64 bits. Its resharder also takes the 16-byte records without a header; so does this reader.
 */

const DESCR = "[('f0', '<u8'), ('f1', '<u8')]";
export const RECORD_BYTES = 16;
/** Bytes a write: the file is not built a second time in memory. */
const CHUNK_BYTES = 1 << 22;

export interface SubsetCounts {
  /** Entries written. */
  written: number;
  distinct: number;
  /** Entries beyond the first of their uid: dropped, unless `multiset`. */
  repeats: number;
}

/**
 * Writes uids, sorted if they are not yet, byte for byte as `np.save` would. Repeats are dropped unless
 * `multiset`, in which a repeat stands for another copy of its sample.
 */
export async function writeSubset(
  folder: Folder,
  name: string,
  uids: Uids,
  options: { multiset?: boolean } = {},
): Promise<SubsetCounts> {
  const sorted = isSorted(uids) ? uids : sortUids(uids);
  const kept = options.multiset ? sorted : dropRepeats(sorted);
  const distinct = countDistinct(kept);
  const sink = await folder.create(name);
  try {
    await sink.write(subsetNpyHeader(kept.length / 2));
    const bytes = new Uint8Array(kept.buffer, kept.byteOffset, kept.byteLength);
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
      await sink.write(bytes.subarray(at, at + CHUNK_BYTES));
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
  return { written: kept.length / 2, distinct, repeats: sorted.length / 2 - distinct };
}

/** The header that `np.save` writes for so many entries. */
export function subsetNpyHeader(entries: number): Uint8Array {
  return npyHeader(DESCR, [entries]);
}

/**
 * Reads a subset, sorted or not, with a NumPy header or raw; the order of the file is kept. Throws
 * `MetadataError` where it is neither.
 */
export async function readSubset(folder: Folder, name: string): Promise<Uids> {
  const bytes = await folder.read(name);
  if (!bytes) throw new MetadataError('no such subset file', { file: `${folder.label}/${name}` });
  return parseSubset(bytes, `${folder.label}/${name}`);
}

/** The uids in a subset file's bytes. `file` is for messages. */
export function parseSubset(bytes: Uint8Array, file: string): Uids {
  const { offset } = subsetLayout(bytes, bytes.length, file);
  return new BigUint64Array(new Uint8Array(bytes.subarray(offset)).buffer);
}

/**
 * Where the entries of a subset of `size` bytes lie. `bytes` are the first of it, its header among them. Throws
 * `MetadataError` where it is of another kind, or does not have the length that it says.
 */
export function subsetLayout(
  bytes: Uint8Array,
  size: number,
  file: string,
): { entries: number; offset: number } {
  if (!isNpy(bytes)) {
    if (size % RECORD_BYTES === 0) return { entries: size / RECORD_BYTES, offset: 0 };
    throw new MetadataError(`not a subset: neither a NumPy file nor whole 16-byte records (${size} bytes)`, {
      file,
    });
  }
  const header = parseNpyHeader(bytes, file);
  const two64 = /^\[\('[^']*','<u8'\),\('[^']*','<u8'\)\]$/.test(header.descr);
  if (!two64 || header.shape.length !== 1) {
    throw new MetadataError(
      `not a subset: ${header.descr} (${header.shape.join(', ')}) instead of one axis of u8,u8`,
      {
        file,
      },
    );
  }
  const [n] = header.shape;
  if (size - header.offset !== n * RECORD_BYTES) {
    throw new MetadataError(`${n} uids announced, ${size - header.offset} bytes there`, {
      file,
      hint: 'The file was cut or extended; write it again',
    });
  }
  return { entries: n, offset: header.offset };
}
