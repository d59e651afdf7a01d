import { MetadataError } from '../errors.ts';
import { parseUid } from './uids.ts';

/**
 * A uid as a parquet gives it, read as bytes: 32 hex digits, or 16 raw bytes, most significant first. False for
 * anything else.
 */
export function parseUidBytes(value: unknown, words: Uint32Array, at: number): boolean {
  if (!(value instanceof Uint8Array)) return false;
  if (value.length !== 16) return parseUid(value, words, at);
  const view = new DataView(value.buffer, value.byteOffset, 16);
  for (let word = 0; word < 4; word++) words[4 * at + (word ^ 1)] = view.getUint32(4 * word);
  return true;
}

/**
 * Parses one row group's uids, read as bytes. Throws `MetadataError` naming file and row at anything else.
 */
export function parseUids(
  pieces: readonly ArrayLike<unknown>[],
  words: Uint32Array,
  place: { file: string; start: number },
): void {
  let row = 0;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i++, row++) {
      const value = piece[i];
      if (parseUidBytes(value, words, row)) continue;
      const shown =
        value instanceof Uint8Array
          ? JSON.stringify(new TextDecoder().decode(value.subarray(0, 40)))
          : 'null';
      throw new MetadataError(`row ${place.start + row} has uid ${shown}, which is not 32 hex digits`, {
        file: place.file,
        column: 'uid',
      });
    }
  }
}
