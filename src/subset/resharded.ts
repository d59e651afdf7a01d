import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { parseJsonObject } from '../metadata/json.ts';
import { readSubset } from '../uids/npy.ts';
import type { UidSet } from '../uids/uid-set.ts';
import { isSorted } from '../uids/uids.ts';
import { CREATED_BY, META, type OutputShard, SAMPLE_IDS, SIZES } from './output.ts';
import { parseShardFormat } from './shard-names.ts';

/** A folder that reshard wrote, as its small files say. */
export interface ReshardedFolder {
  folder: Folder;
  meta: { [field: string]: unknown };
  /** Samples by shard, in the order of `sizes.json`. */
  sizes: [name: string, samples: number][];
}

/** Opens a folder of resharded samples; `undefined` where it is none of Shardsieve's. Throws at a damaged one. */
export async function openResharded(folder: Folder): Promise<ReshardedFolder | undefined> {
  const bytes = await folder.read(META);
  if (bytes === undefined) return undefined;
  const meta = parseJsonObject(bytes, `${folder.label}/${META}`);
  if (meta['created_by'] !== CREATED_BY) return undefined;
  const file = `${folder.label}/${SIZES}`;
  const json = await folder.read(SIZES);
  const sizes = json === undefined ? [] : Object.entries(parseJsonObject(json, file));
  return {
    folder,
    meta,
    sizes: sizes.map(([name, samples]) => {
      if (Number.isSafeInteger(samples)) return [name, Number(samples)];
      throw new MetadataError(`the samples of ${name} are no number`, { file });
    }),
  };
}

/** An input that a run could not read to its end, as `meta.json` has it in `failed`. */
export interface FailedInput {
  shard: string;
  problem: string;
  /** Samples of it that were worked through before it broke off. */
  seen: number;
}

/** Where an earlier run stands that is to be completed. */
export interface Retry {
  format: string;
  firstShard: number;
  /** What was written, in order. */
  shards: OutputShard[];
  failed: FailedInput[];
  /** Samples seen, and blurred, before. */
  processed: number;
  blurred: number;
}

/**
 * What is left to be done of a folder whose inputs failed in part. Throws `UsageError` where the folder is none of
 * reshard's, was not written to its end, or was made by another subset.
 */
export async function openRetry(out: Folder, subset: UidSet): Promise<Retry> {
  const there = await openResharded(out);
  const { output_shard_count: count, output_shard_format: format } = there?.meta ?? {};
  if (there === undefined || typeof count !== 'number' || typeof format !== 'string') {
    throw new UsageError(`${out.label} holds no run of reshard that came to its end`, {
      hint: 'Run reshard without --retry-failed',
    });
  }
  const before = await readSubset(out, SAMPLE_IDS);
  const same =
    isSorted(before) &&
    before.length === subset.uids.length &&
    before.every((half, i) => half === subset.uids[i]);
  if (!same) {
    throw new UsageError(`${out.label} was made by another subset`, {
      hint: 'Give that one, or run reshard without --retry-failed',
    });
  }
  const { meta } = there;
  return {
    format,
    firstShard: Number(meta['output_first_shard'] ?? 0),
    // A retry that was killed may have written more than meta.json counts.
    shards: there.sizes.slice(0, count).map(([name, samples]) => ({ name, samples, bytes: 0 })),
    failed: failedInputs(meta),
    processed: Number(meta['processed_count'] ?? 0),
    blurred: Number(meta['blur_count'] ?? 0),
  };
}

/** Removes the shards that a killed retry left. */
export async function removeUncounted(folder: Folder, { format, shards }: Retry): Promise<void> {
  const { matches } = parseShardFormat(format);
  const known = new Set(shards.map(({ name }) => name));
  for (const file of await folder.list()) {
    const shard = file.replace(/_stats\.json$/, '.tar');
    if (matches(shard) && !known.has(shard)) await folder.remove(file);
  }
}

export function failedInputs(meta: ReshardedFolder['meta']): FailedInput[] {
  const { failed } = meta;
  return Array.isArray(failed) ? failed.filter(isFailedInput) : [];
}

function isFailedInput(value: unknown): value is FailedInput {
  if (typeof value !== 'object' || value === null) return false;
  const { shard, problem, seen } = value as { [field: string]: unknown };
  return typeof shard === 'string' && typeof problem === 'string' && typeof seen === 'number';
}
