/** The jobs of a folder that are not finished: two that would make different things of one shard do not run together. */
import { BusyError, MetadataError } from '../../src/errors.ts';
import { canonicalJson } from '../../src/run/fingerprint.ts';
import { absent, type Bucket, bodyOf } from '../workers/bucket.ts';
import { ABANDONED_MS, recordOf, shardsOf } from './consumer.ts';
import { progressOf } from './progress.ts';
import { decodeJson, encodeJson, folderKey, type JobRecord } from './records.ts';

const TRIES = 8;

/**
 * Counts a job, whose record is written already, among those of its folder. Throws `MetadataError`, naming what differs,
 * where one that is not finished has other settings: each would throw the other's pieces away.
 */
export async function joinFolder(bucket: Bucket, record: JobRecord, now: number): Promise<void> {
  const key = folderKey(record.out);
  for (let tries = 0; tries < TRIES; tries++) {
    const body = bodyOf(await bucket.get(key));
    const have = body === undefined ? [] : decodeJson<string[]>(await body.arrayBuffer());
    const jobs = [record.id];
    for (const id of have) {
      const other = await recordOf(bucket, id);
      if (other === undefined || now - Date.parse(other.created) > ABANDONED_MS) continue;
      const { state } = await progressOf(bucket, other, await shardsOf(bucket, id));
      if (state === 'finished') continue;
      const differ = differences(other, record);
      if (differ.length > 0) {
        throw new MetadataError(
          `the job ${id}, which is not finished, writes to ${record.out} with another ${differ.join(', ')}`,
          { hint: 'Wait for it (the same request again goes on with it), or give another out' },
        );
      }
      jobs.push(id);
    }
    const onlyIf = body === undefined ? absent() : { etagMatches: body.etag };
    if ((await bucket.put(key, encodeJson(jobs), { onlyIf })) !== null) return;
  }
  throw new BusyError(`too many jobs are made for ${record.out} at once`, 1);
}

/** Names of the settings in which two jobs differ, as a request has them. */
function differences(a: JobRecord, b: JobRecord): string[] {
  const settings = ({ model, fingerprint, embeddings, safety, pair, window }: JobRecord) => {
    const said = { model, fingerprint, embeddings, safety: [...new Set(safety)].sort(), ...pair, window };
    return new Map(Object.entries(said).map(([name, value]) => [name, canonicalJson(value ?? null)]));
  };
  const theirs = settings(b);
  return [...settings(a)].filter(([name, value]) => theirs.get(name) !== value).map(([name]) => name);
}
