import type { Folder } from '../io/bytes.ts';
import { RECORD_BYTES, subsetLayout } from '../uids/npy.ts';
import { sortUids, type Uids, wordsOf } from '../uids/uids.ts';

/** A subset file that is read a stretch at a time: any number of uids costs no memory. */
export interface SubsetFile {
  /** For messages. */
  label: string;
  entries: number;
  /** 32-bit words of the entries `[start, end)`, four each, in the order of the file. */
  words(start: number, end: number): Promise<Uint32Array>;
}

/** Holds the longest header that NumPy reads. */
const HEADER_BYTES = 1 << 14;

/** Opens a subset, with a NumPy header or raw. Throws `MetadataError` where it is neither, or was cut. */
export async function openSubset(folder: Folder, name: string): Promise<SubsetFile> {
  const label = `${folder.label}/${name}`;
  const file = await folder.open(name);
  const start = await file.slice(0, Math.min(HEADER_BYTES, file.size));
  const { entries, offset } = subsetLayout(start, file.size, label);
  return {
    label,
    entries,
    async words(from, to) {
      const bytes = await file.slice(offset + from * RECORD_BYTES, offset + to * RECORD_BYTES);
      const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
      return new Uint32Array(aligned.buffer, aligned.byteOffset, (to - from) * 4);
    },
  };
}

/** Entries read at a time: 4 MB. */
export const CHUNK_ENTRIES = 1 << 18;

/** The same subset, sorted in memory: 36 bytes an entry while it is sorted, 16 then. */
export async function sortedInMemory(subset: SubsetFile): Promise<SubsetFile> {
  const uids: Uids = new BigUint64Array(2 * subset.entries);
  const words = wordsOf(uids);
  for (let start = 0; start < subset.entries; start += CHUNK_ENTRIES) {
    const end = Math.min(start + CHUNK_ENTRIES, subset.entries);
    words.set(await subset.words(start, end), 4 * start);
  }
  const sorted = wordsOf(sortUids(uids));
  return { ...subset, words: async (start, end) => sorted.subarray(4 * start, 4 * end) };
}
