import { MetadataError } from '../errors.ts';
import type { Numbers } from './scan.ts';
import { parseUid } from './uids.ts';

/** A threshold as the column's type holds it: DataComp compares in that type. */
export function inType(threshold: number, type: 'FLOAT' | 'DOUBLE'): number {
  return type === 'FLOAT' ? Math.fround(threshold) : threshold;
}

/** Copies decoded pieces, nulls as NaN. */
export function copyScores(pieces: readonly ArrayLike<unknown>[], into: Numbers, start: number): void {
  let at = start;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i++) {
      const value = piece[i];
      into[at++] = typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : Number.NaN;
    }
  }
}

/**
 * Parses one row group's uids, read as bytes: 32 hex digits, or 16 raw bytes, most significant first. Throws
 * `MetadataError` naming file and row at anything else.
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
      if (value instanceof Uint8Array) {
        if (value.length === 16) {
          const view = new DataView(value.buffer, value.byteOffset, 16);
          for (let word = 0; word < 4; word++) words[4 * row + (word ^ 1)] = view.getUint32(4 * word);
          continue;
        }
        if (parseUid(value, words, row)) continue;
      }
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

/** The score at place `int(n · fraction)` of all scores in descending order; −∞ where that keeps every number. */
export function fractionThreshold(scores: readonly Numbers[], fraction: number): number {
  const n = scores.reduce((sum, part) => sum + part.length, 0);
  const wide = scores.some((part) => part instanceof Float64Array);
  const all = new (wide ? Float64Array : Float32Array)(n);
  let at = 0;
  for (const part of scores) {
    all.set(part, at);
    at += part.length;
  }
  // Typed arrays sort NaN last in ascending order, so the numbers come first.
  all.sort();
  let numbers = n;
  while (numbers > 0 && Number.isNaN(all[numbers - 1])) numbers--;
  const place = Math.trunc(n * fraction);
  return place >= numbers ? Number.NEGATIVE_INFINITY : all[numbers - 1 - place];
}
