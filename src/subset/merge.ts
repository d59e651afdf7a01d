import { AccountingError, CancelledError, MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { type CopyFile, copyFile } from '../io/copy.ts';
import { writeFile } from '../metadata/folder.ts';
import { openSubset } from './open.ts';
import { encode, META, prepareOutput, SAMPLE_IDS, SIZES } from './output.ts';
import { failedInputs, type ReshardedFolder } from './resharded.ts';
import { combineSubsets } from './sets.ts';
import { parseShardFormat } from './shard-names.ts';

export interface ReshardMergeOptions {
  copy?: CopyFile;
  /** Python's `str.format` syntax; default that of the first part. */
  shardFormat?: string;
  /** Merge parts of which an input could not be read. */
  partial?: boolean;
  onShard?: (name: string) => void;
  signal?: AbortSignal;
}

/**
 * Lays the shards of resharded parts end to end in one folder, numbered anew in the order of the parts, with the
 * small files that training loaders read. Tars are copied as they are.
 *
 * Throws `MetadataError` where a part is not complete (unless `partial`), `OutputError`, `CancelledError`.
 */
export async function mergeResharded(
  parts: readonly ReshardedFolder[],
  out: Folder,
  options: ReshardMergeOptions = {},
): Promise<{ shards: number; samples: number }> {
  const open = parts.find(({ meta }) => meta['complete'] !== true);
  if (open !== undefined && options.partial !== true) {
    throw new MetadataError(
      `${open.folder.label} is not complete: an input failed there, or it was stopped`,
      {
        hint: 'Run that part again, or add --partial',
      },
    );
  }
  const format = options.shardFormat ?? String(parts[0].meta['output_shard_format']);
  const names = parseShardFormat(format);
  await prepareOutput(out, names, false);
  const copy = options.copy ?? copyFile;
  const sizes: { [name: string]: number } = {};
  let [shards, samples] = [0, 0];
  for (const part of parts) {
    for (const [name, count] of part.sizes) {
      if (options.signal?.aborted) throw new CancelledError();
      const as = names.name(shards++);
      await copy(part.folder, statsOf(name), out, statsOf(as));
      await copy(part.folder, name, out, as);
      sizes[as] = count;
      samples += count;
      options.onShard?.(as);
    }
  }
  await mergeSampleIds(parts, out);
  const sum = (field: string) => parts.reduce((total, { meta }) => total + Number(meta[field] ?? 0), 0);
  if (sum('output_count') !== samples && open === undefined) {
    throw new AccountingError(
      `meta.json of the parts counts ${sum('output_count')} samples, sizes.json ${samples}`,
    );
  }
  await writeFile(out, SIZES, encode(sizes));
  const failed = parts.flatMap(({ meta }) => failedInputs(meta));
  const { failed: _, output_first_shard: __, ...common } = parts[0].meta;
  const meta = {
    ...common,
    complete: open === undefined,
    output_shard_count: shards,
    output_shard_format: format,
    processed_count: sum('processed_count'),
    output_count: samples,
    ...('blur_count' in parts[0].meta ? { blur_count: sum('blur_count') } : {}),
    ...(failed.length > 0 ? { failed } : {}),
  };
  await writeFile(out, META, encode(meta));
  return { shards, samples };
}

/** The subset that the parts were made by; every part has all of it, unless they were made by different ones. */
async function mergeSampleIds(parts: readonly ReshardedFolder[], out: Folder): Promise<void> {
  const files = [];
  for (const { folder } of parts) {
    if (await folder.has(SAMPLE_IDS)) files.push(await openSubset(folder, SAMPLE_IDS));
  }
  if (files.length > 0) await combineSubsets('union', files, out, SAMPLE_IDS, { multiset: true });
}

function statsOf(shard: string): string {
  return shard.replace(/\.tar$/, '_stats.json');
}
