import { OutputError, UsageError } from '../errors.ts';
import type { Folder, Sink } from '../io/bytes.ts';
import { writeFile } from '../metadata/folder.ts';
import { parseJsonObject } from '../metadata/json.ts';
import type { Json } from '../metadata/table.ts';
import { RECORD } from '../tar/format.ts';
import { memberLength, TarWriter } from '../tar/writer.ts';
import { parseShardFormat, type ShardNames } from './shard-names.ts';

/**
 * A folder of resharded samples, with the small files that DataComp's and open_clip's training loaders read:
 * `<shard>_stats.json` (`successes`), `sizes.json` (samples by shard) and `meta.json` (`output_shard_count`,
 * `output_shard_format`).
 *
 * `meta.json` is written first, saying that the folder is Shardsieve's and not complete, and again at the end. A
 * folder that says so may be written anew; its earlier shards are removed first, so old and new never mix.
 */

export interface OutputShard {
  name: string;
  samples: number;
  bytes: number;
}

export interface OutputMember {
  name: string;
  bytes: Uint8Array;
  mtime: number;
}

export interface ShardWriterOptions {
  names: ShardNames;
  /** Samples a shard, at most. */
  shardSize: number;
  /** Bytes a shard, at most, but for a single sample that is larger. */
  shardBytes: number;
  /** Number of the first shard, 0 by default. */
  firstShard?: number;
  /** Shards of an earlier run, after which these come. */
  earlier?: readonly OutputShard[];
}

export const META = 'meta.json';
export const SIZES = 'sizes.json';
export const SAMPLE_IDS = 'sample_ids.npy';
export const CREATED_BY = 'shardsieve';

/** Throws `OutputError` where the folder is not empty and not Shardsieve's, unless `overwrite`. */
export async function prepareOutput(folder: Folder, names: ShardNames, overwrite: boolean): Promise<void> {
  const files = await folder.list();
  const meta = await readMeta(folder);
  const isOurs = meta?.['created_by'] === CREATED_BY;
  if (files.length > 0 && !isOurs && !overwrite) {
    throw new OutputError(`${folder.label} is not empty, and Shardsieve did not write it`, {
      hint: 'Choose a new or an empty folder, or add --overwrite to write between what is there',
    });
  }
  await writeFile(folder, META, encode({ created_by: CREATED_BY, complete: false }));
  const known = [names, ...formatOf(meta)];
  for (const file of files) {
    const shard = file.replace(/_stats\.json$/, '.tar');
    const isOld = file === SIZES || file === SAMPLE_IDS || known.some(({ matches }) => matches(shard));
    if (isOld) await folder.remove(file);
  }
}

/** How the shards are named that lie there; DataComp's resharder writes down the same field. */
function formatOf(meta: { [field: string]: unknown } | undefined): ShardNames[] {
  const format = meta?.['output_shard_format'];
  if (typeof format !== 'string') return [];
  try {
    return [parseShardFormat(format)];
  } catch (error) {
    if (error instanceof UsageError) return [];
    throw error;
  }
}

export async function readMeta(folder: Folder): Promise<{ [field: string]: unknown } | undefined> {
  const bytes = await folder.read(META);
  if (!bytes) return undefined;
  try {
    return parseJsonObject(bytes, META);
  } catch {
    return undefined;
  }
}

/** Writes samples into one shard after another; a shard appears when it is whole. */
export class ShardWriter {
  readonly shards: OutputShard[] = [];
  /** Shards of an earlier run, then those of this one. */
  readonly #all: OutputShard[];
  readonly #folder: Folder;
  readonly #options: ShardWriterOptions;
  #open: { sink: Sink; tar: TarWriter; keys: Set<string>; samples: number } | undefined;

  constructor(folder: Folder, options: ShardWriterOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#all = [...(options.earlier ?? [])];
  }

  /** Whether a sample of this key would lie beside another one of that key. Ask after `makeRoom`. */
  has(key: string): boolean {
    return this.#open?.keys.has(key) ?? false;
  }

  /** Closes the shard that a sample of these members does not fit in. */
  async makeRoom(members: readonly OutputMember[]): Promise<void> {
    if (!this.#open) return;
    const { shardSize, shardBytes } = this.#options;
    const length = members.reduce((sum, { name, bytes }) => sum + memberLength(name, bytes.length), 0);
    const whole = Math.ceil((this.#open.tar.size + length + 1024) / RECORD) * RECORD;
    if (this.#open.samples >= shardSize || whole > shardBytes) await this.#close();
  }

  async write(key: string, members: readonly OutputMember[]): Promise<void> {
    if (!this.#open) {
      const number = (this.#options.firstShard ?? 0) + this.#all.length;
      const sink = await this.#folder.create(this.#options.names.name(number));
      this.#open = { sink, tar: new TarWriter(sink), keys: new Set(), samples: 0 };
    }
    for (const { name, bytes, mtime } of members) await this.#open.tar.add(name, bytes, { mtime });
    this.#open.keys.add(key);
    this.#open.samples++;
  }

  /** Closes the last shard and writes `sizes.json` and `meta.json`; `more` goes into the latter. */
  async finish(counts: { processed: number; complete: boolean; more?: Fields }): Promise<void> {
    await this.#close();
    const { names, shardSize, shardBytes, firstShard = 0 } = this.#options;
    const output_count = this.#all.reduce((sum, { samples }) => sum + samples, 0);
    await writeFile(
      this.#folder,
      SIZES,
      encode(Object.fromEntries(this.#all.map((shard) => [shard.name, shard.samples]))),
    );
    await writeFile(
      this.#folder,
      META,
      encode({
        created_by: CREATED_BY,
        complete: counts.complete,
        output_shard_count: this.#all.length,
        output_shard_format: names.format,
        processed_count: counts.processed,
        output_count,
        shard_size: shardSize,
        shard_bytes: shardBytes,
        ...(firstShard > 0 ? { output_first_shard: firstShard } : {}),
        ...counts.more,
      }),
    );
  }

  /** Leaves nothing of the shard that is being written. */
  async abort(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.sink.abort();
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    const { sink, tar, samples } = this.#open;
    await tar.finish();
    await sink.commit();
    this.#open = undefined;
    const shard = { name: sink.name, samples, bytes: tar.size };
    this.shards.push(shard);
    this.#all.push(shard);
    await writeFile(this.#folder, sink.name.replace(/\.tar$/, '_stats.json'), encode({ successes: samples }));
  }
}

export interface Fields {
  [field: string]: Json;
}

export function encode(value: { readonly [field: string]: unknown }): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}
