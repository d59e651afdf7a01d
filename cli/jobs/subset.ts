import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { MetadataError, messageOf } from '../../src/errors.ts';
import { type SubsetInfo, type SubsetOverlap, subsetInfo, subsetOverlap } from '../../src/subset/info.ts';
import { openSubset, type SubsetFile } from '../../src/subset/open.ts';
import { combineSubsets as combine, type SetCounts, type SetOperation } from '../../src/subset/sets.ts';
import { openFolder } from '../io/folder.ts';

export interface CombineOptions {
  operation: SetOperation;
  /** Subset files, sorted or not, with a NumPy header or raw. */
  subsets: readonly string[];
  /** The subset file to write; may be one of those read. */
  out: string;
  /** Count repeats, as Python's `Counter` does; default sets. */
  multiset?: boolean;
  signal?: AbortSignal;
}

export interface CombineTotals extends SetCounts {
  inputs: { file: string; entries: number }[];
}

/** Union, sum, intersection or difference of subset files. Throws `MetadataError`, `OutputError`, `CancelledError`. */
export async function combineSubsets(options: CombineOptions): Promise<CombineTotals> {
  const { operation, subsets, out, multiset, signal } = options;
  const files: SubsetFile[] = [];
  for (const path of subsets) files.push(await openAt(path));
  const counts = await combine(operation, files, openFolder(dirname(out)), basename(out), {
    multiset,
    signal,
  });
  return { ...counts, inputs: files.map(({ entries }, i) => ({ file: subsets[i], entries })) };
}

export interface SubsetDescription extends SubsetInfo {
  file: string;
  bytes: number;
  /** Of the file's bytes. */
  sha256: string;
}

export interface SubsetsInfo {
  subsets: SubsetDescription[];
  /** Of every two of them, in order. */
  overlaps: (SubsetOverlap & { first: string; second: string })[];
}

/** What subset files hold, and what every two of them share. Throws `MetadataError`, `CancelledError`. */
export async function describeSubsets(
  paths: readonly string[],
  options: { signal?: AbortSignal } = {},
): Promise<SubsetsInfo> {
  const { signal } = options;
  const files: SubsetFile[] = [];
  const subsets: SubsetDescription[] = [];
  for (const path of paths) {
    const file = await openAt(path);
    files.push(file);
    subsets.push({ file: path, ...(await subsetInfo(file, signal)), ...(await hashOf(path, signal)) });
  }
  const overlaps: SubsetsInfo['overlaps'] = [];
  for (let i = 0; i < files.length; i++) {
    for (let j = i + 1; j < files.length; j++) {
      const overlap = await subsetOverlap(files[i], files[j], signal);
      overlaps.push({ first: paths[i], second: paths[j], ...overlap });
    }
  }
  return { subsets, overlaps };
}

function openAt(path: string): Promise<SubsetFile> {
  return openSubset(openFolder(dirname(path), { readOnly: true }), basename(path));
}

async function hashOf(file: string, signal?: AbortSignal): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  const stream = createReadStream(file, { highWaterMark: 1 << 20 });
  try {
    await pipeline(stream, hash, { signal });
  } catch (error) {
    throw new MetadataError(`the file cannot be read: ${messageOf(error)}`, { file, cause: error });
  }
  return { bytes: stream.bytesRead, sha256: hash.digest('hex') };
}
