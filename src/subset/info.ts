import { formatUid, type Uids } from '../uids/uids.ts';
import type { SubsetFile } from './open.ts';
import { mergeAll } from './sets.ts';

/** What a subset file holds. */
export interface SubsetInfo {
  entries: number;
  distinct: number;
  /** `entries − distinct`. */
  repeats: number;
  sorted: boolean;
  /** In the order of the file, 32 hex digits; absent where it is empty. */
  first?: string;
  last?: string;
}

/** What two subsets share, of their different uids. */
export interface SubsetOverlap {
  both: number;
  either: number;
  /** `both / either`; of two empty subsets 1. */
  jaccard: number;
  /** Share of the first's uids that are in the second, and the other way round; of an empty one 0. */
  of_first: number;
  of_second: number;
}

/** Reads a subset from end to end; one that is not sorted is held in memory to count its different uids. */
export async function subsetInfo(file: SubsetFile, signal?: AbortSignal): Promise<SubsetInfo> {
  let distinct = 0;
  const merged = await mergeAll([file], signal, () => {
    distinct = 0;
    return () => distinct++;
  });
  const { entries } = file;
  const at = async (index: number) => formatUid(await uidsAt(file, index, index + 1), 0);
  return {
    entries,
    distinct,
    repeats: entries - distinct,
    // What was out of order was merged from a copy.
    sorted: merged[0] === file,
    ...(entries > 0 ? { first: await at(0), last: await at(entries - 1) } : {}),
  };
}

export async function subsetOverlap(
  a: SubsetFile,
  b: SubsetFile,
  signal?: AbortSignal,
): Promise<SubsetOverlap> {
  let [both, first, second] = [0, 0, 0];
  await mergeAll([a, b], signal, () => {
    [both, first, second] = [0, 0, 0];
    return (_words, _at, counts) => {
      if (counts[0] > 0) first++;
      if (counts[1] > 0) second++;
      if (counts[0] > 0 && counts[1] > 0) both++;
    };
  });
  const either = first + second - both;
  const share = (of: number) => (of === 0 ? 0 : both / of);
  return {
    both,
    either,
    jaccard: either === 0 ? 1 : both / either,
    of_first: share(first),
    of_second: share(second),
  };
}

async function uidsAt(file: SubsetFile, start: number, end: number): Promise<Uids> {
  return new BigUint64Array((await file.words(start, end)).slice().buffer);
}
