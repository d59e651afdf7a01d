import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { Json } from '../metadata/table.ts';
import type { Step } from './evaluate.ts';
import type { PoolFile } from './scan.ts';
import type { Filter } from './spec.ts';

/**
 * `<subset>.json`: what a subset was made of and how. It says nothing of when or of threads, so the same
 * filters on the same metadata give the same bytes.
 */
export interface SubsetRecord {
  shardsieve: string;
  /** What a recipe would say of the selection, every parameter, defaults included. */
  recipe: {
    annotate?: { lid: string };
    join?: readonly string[];
    filters: readonly Filter[];
    strict: boolean;
    repeats: 'keep' | 'drop';
  };
  /** `filtered`: samples that filters dropped before they were scored, and that have no row. */
  input: { rows: number; files: number; fingerprint: string; filtered?: { [filter: string]: number } };
  /** SHA-256 of the files that filters name: block-lists, centroids, targets, entries, subsets. */
  named?: readonly { file: string; sha256: string }[];
  /** Tables joined by uid, in the recipe's order. */
  joined?: readonly { rows: number; files: number; fingerprint: string }[];
  /** What refining measured (`run.json`), of the scores that the steps cut. */
  refined?: readonly { [field: string]: Json }[];
  steps: readonly Step[];
  /** `rows = kept + the sum of what each step dropped or could not judge`. */
  kept: { rows: number; uids: number; repeats: number };
  /** Entries of the subset file. */
  written: number;
}

export function encodeRecord(record: SubsetRecord): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(record, number, 2)}\n`);
}

/** JSON has no infinity: the threshold that keeps every number is `null`. */
function number(_name: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? null : value;
}

/** Reads of a footer's length and signature. */
const TAIL_BYTES = 8;

/**
 * SHA-256 over each parquet's name, size and footer, which holds its schema and each column chunk's place, sizes and
 * least and greatest values: the first 32 hex digits. Two reads a file, whatever its size.
 */
export async function filesFingerprint(files: readonly PoolFile[]): Promise<string> {
  const hash = sha256.create();
  for (const { folder, shard } of files) {
    const name = `${shard}.parquet`;
    const file = await folder.open(name);
    const tail = await file.slice(file.size - TAIL_BYTES, file.size);
    const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
    hash.update(new TextEncoder().encode(`${name} ${file.size}\n`));
    hash.update(await file.slice(file.size - TAIL_BYTES - length, file.size));
  }
  return bytesToHex(hash.digest()).slice(0, 32);
}
