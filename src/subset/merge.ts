import { AccountingError, CancelledError, MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { type CopyFile, copyFile } from '../io/copy.ts';
import { writeFile } from '../metadata/folder.ts';
import { parseJsonObject } from '../metadata/json.ts';
import { openSubset } from './open.ts';
import { prepareOutput } from './output.ts';
import { combineSubsets } from './sets.ts';
import { parseShardFormat } from './shard-names.ts';

const META = 'meta.json';
const SIZES = 'sizes.json';
const SAMPLE_IDS = 'sample_ids.npy';

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
  if (meta['created_by'] !== 'shardsieve') return undefined;
  const sizesBytes = await folder.read(SIZES);
  const sizes =
    sizesBytes === undefined ? [] : Object.entries(parseJsonObject(sizesBytes, `${folder.label}/${SIZES}`));
  return {
    folder,
    meta,
    sizes: sizes.map(([name, samples]) => {
      if (Number.isSafeInteger(samples)) return [name, Number(samples)];
      throw new MetadataError(`the samples of ${name} are no number`, { file: `${folder.label}/${SIZES}` });
    }),
  };
}

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
  const meta = {
    ...parts[0].meta,
    complete: open === undefined,
    output_shard_count: shards,
    output_shard_format: format,
    processed_count: sum('processed_count'),
    output_count: samples,
    ...('blur_count' in parts[0].meta ? { blur_count: sum('blur_count') } : {}),
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

function encode(value: { [field: string]: unknown }): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}
