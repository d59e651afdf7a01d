import type { NamedSource } from '../../src/run/score-job.ts';
import { shardBaseName } from '../../src/webdataset/names.ts';
import { expandShards } from '../io/inputs.ts';

export interface Shards {
  /** Files, folders, globs, brace ranges, `@list.txt`, or `-` for a tar on stdin. */
  shards: string | readonly string[];
  /** Name of the shard read from stdin. */
  name?: string;
}

/** The inputs under the base names by which their outputs are called. Throws `UsageError`. */
export async function openShards({ shards, name }: Shards): Promise<NamedSource[]> {
  const sources = await expandShards(typeof shards === 'string' ? [shards] : shards, { name });
  return sources.map((source) => ({ source, shard: shardBaseName(source.name) }));
}
