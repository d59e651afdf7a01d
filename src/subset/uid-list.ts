import { isNpy } from '../metadata/npy.ts';
import { badLine, listLines } from '../safety/block/lines.ts';
import { parseSubset } from '../uids/npy.ts';
import { parseUidText, UidList, type Uids } from '../uids/uids.ts';

/**
 * Uids in any of the forms that lists of them have: a subset file (`u8,u8` npy), its records alone, or text, one uid of
 * 32 hex digits a line, `#` before a comment. Text is what a file named `.txt` holds, and what begins with a line of
 * hex digits; no sorted records of hashes do. Throws `MetadataError`, and `UsageError` naming the line.
 */
export function parseUidList(bytes: Uint8Array, file: string): Uids {
  if (isNpy(bytes) || !isText(bytes, file)) return parseSubset(bytes, file);
  const list = new UidList();
  const words = new Uint32Array(4);
  for (const { text, line } of listLines(bytes, file)) {
    if (!parseUidText(text, words, 0))
      throw badLine(file, line, 'is no uid', 'One uid a line: 32 hex digits');
    list.push(words, 0);
  }
  return list.take();
}

function isText(bytes: Uint8Array, file: string): boolean {
  if (file.endsWith('.txt')) return true;
  const start = String.fromCharCode(...bytes.subarray(0, 33));
  return /^[0-9a-fA-F]{32}\s?$/.test(start);
}
