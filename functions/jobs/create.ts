/** Jobs on R2 and a queue, as the API asks for them. */
import { UsageError } from '../../src/errors.ts';
import { prepareFolder, shardFiles } from '../../src/metadata/folder.ts';
import { rowsEntry } from '../../src/run/fingerprint.ts';
import { recordUnfinished } from '../../src/run/outcome.ts';
import { VERSION } from '../../src/version.ts';
import { isShardName, shardBaseName } from '../../src/webdataset/names.ts';
import type { JobRequest } from '../app/job-schemas.ts';
import type { JobShard, Jobs } from '../app/jobs.ts';
import { noModelYet } from '../app/problems.ts';
import { listAll } from '../workers/bucket.ts';
import { bucketFolder } from '../workers/storage.ts';
import { type JobPlace, recordOf, shardsOf } from './consumer.ts';
import { joinFolder } from './folder.ts';
import { progressOf } from './progress.ts';
import { encodeJson, type JobRecord, jobKey, shardsKey, statePrefix, WORK } from './records.ts';
import { checkOrigin, isUrl } from './stores.ts';

export function createJobs(place: JobPlace): Jobs {
  const { bucket, queue, engine, limits } = place;
  return {
    async create(request) {
      if (engine.models.length === 0) throw noModelYet();
      const model =
        request.model === undefined
          ? engine.models[0]
          : engine.models.find(
              ({ slug, entry }) => slug === request.model || entry['name'] === request.model,
            );
      if (model === undefined) {
        throw new UsageError(`no model ${JSON.stringify(request.model)} for jobs here`, {
          hint: `There is ${engine.models.map(({ slug }) => slug).join(', ')}`,
        });
      }
      const annotators = await engine.annotators(request.safety, model);
      const shards = await shardsOfRequest(place, request);
      const { caption, uid, carry, out, embeddings, safety } = request;
      const record: JobRecord = {
        ...{ id: crypto.randomUUID(), created: new Date(place.now()).toISOString(), out, model: model.slug },
        fingerprint: model.entry.fingerprint,
        ...{
          embeddings,
          safety,
          pair: { caption, uid, carry },
          window: limits.window,
          shards: shards.length,
        },
      };
      const folder = bucketFolder(bucket, `${out}/`);
      await bucket.put(shardsKey(record.id), encodeJson(shards));
      await bucket.put(jobKey(record.id), encodeJson(record));
      try {
        await joinFolder(bucket, record, place.now());
        await prepareFolder(folder, {
          shardsieve: VERSION,
          rows: rowsEntry(record.pair),
          models: { [model.slug]: model.entry },
          ...(annotators.length === 0
            ? {}
            : { groups: Object.fromEntries(annotators.map(({ group, entry }) => [group, entry])) }),
        });
      } catch (error) {
        await bucket.delete([jobKey(record.id), shardsKey(record.id)]);
        throw error;
      }
      const pending = shards.map(({ shard }) => shard);
      await recordUnfinished(folder, undefined, { pending, failed: [], finished: [] });
      // Of all that is sent this alone is sent here: what comes after it does not depend on this invocation.
      await queue.send({ kind: 'start', job: record.id });
      return progressOf(bucket, record, shards);
    },
    async progress(id) {
      const record = await recordOf(bucket, id);
      return record && progressOf(bucket, record, await shardsOf(bucket, id));
    },
  };
}

/** Throws `UsageError` where there are none, too many, or two of one name. */
async function shardsOfRequest(
  { pool, origins, limits }: JobPlace,
  request: JobRequest,
): Promise<JobShard[]> {
  const keys = request.shards === undefined ? [] : [...request.shards];
  if (request.prefix !== undefined) {
    for await (const { key } of listAll(pool, { prefix: request.prefix })) {
      if (isShardName(key) && !key.startsWith(WORK)) keys.push(key);
      if (keys.length > limits.shards) break;
    }
  }
  if (keys.length === 0) throw new UsageError(`no shard lies behind ${request.prefix}`);
  if (keys.length > limits.shards) {
    throw new UsageError(`more than ${limits.shards} shards for one job`, {
      hint: 'Make several jobs of them',
    });
  }
  const named = new Map<string, string>();
  return keys.map((key) => {
    const shard = shardBaseName(isUrl(key) ? checkOrigin(key, origins).pathname : key);
    shardFiles(shard);
    // A listing by folder finds what lies behind `statePrefix` by name.
    if (statePrefix(request.out).length + shard.length > 900)
      throw new UsageError(`the name of ${key} is too long`);
    const other = named.get(shard);
    if (other !== undefined) {
      throw new UsageError(`${other} and ${key} would write the same files`, {
        hint: 'Give them different names',
      });
    }
    named.set(shard, key);
    return { shard, key };
  });
}
