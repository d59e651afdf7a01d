import type { Part } from '../../src/io/part.ts';
import type { PartRecord } from '../../src/metadata/outcome.ts';
import { planPart } from '../../src/run/outcome.ts';
import type { NamedSource } from '../../src/run/score-job.ts';
import { shardBaseName } from '../../src/webdataset/names.ts';
import { expandShards } from '../io/inputs.ts';

export interface Shards {
  /** Files, folders, globs, brace ranges, `@list.txt`, or `-` for a tar on stdin. */
  shards: string | readonly string[];
  /** Name of the shard read from stdin. */
  name?: string;
  /** Take only this part of the list, which every machine gives in full. */
  part?: Part;
}

/** The inputs under the base names by which their outputs are called, of `part` only. Throws `UsageError`. */
export async function openShards(shards: Shards): Promise<NamedSource[]> {
  return (await openPart(shards)).sources;
}

/** `openShards`, and what the metadata folder of a part has to say of it. Throws `UsageError`. */
export async function openPart({
  shards,
  name,
  part,
}: Shards): Promise<{ sources: NamedSource[]; record?: PartRecord }> {
  const all = await expandShards(typeof shards === 'string' ? [shards] : shards, { name });
  const sources = all.map((source) => ({ source, shard: shardBaseName(source.name) }));
  return part === undefined ? { sources } : planPart(sources, part);
}
