/** Jobs over shards that lie in a bucket, done by other invocations than the one asked. */
import * as z from 'zod';
import { MetadataError, UsageError } from '../../src/errors.ts';
import { checked, readSent } from './body.ts';
import { type JobProgress, type JobRequest, jobProgress, jobRequest } from './job-schemas.ts';
import { Problem } from './problems.ts';
import { BODY_PROBLEMS, type Route } from './route.ts';
import type { Service } from './service.ts';

/** A shard of a job: the base name of its files, and where it lies. */
export interface JobShard {
  shard: string;
  key: string;
}

/** What runs jobs on a platform. */
export interface Jobs {
  /**
   * Resolves when the job will be done whatever becomes of this process. Throws `UsageError` where the request makes no
   * sense here, `MetadataError` where the folder holds something else, `Problem` 503 where no model is ready.
   */
  create(request: JobRequest): Promise<JobProgress>;
  /** `undefined` where there is no such job. */
  progress(id: string): Promise<JobProgress | undefined>;
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function jobRoutes(service: Service): Route[] {
  const jobs = (): Jobs => {
    if (service.jobs !== undefined) return service.jobs;
    throw new Problem('not_implemented', 'this server runs no jobs');
  };
  const answer = { content: { 'application/json': jobProgress } };
  return [
    {
      method: 'post',
      path: '/v1/jobs',
      operationId: 'createJob',
      summary: 'Score shards that lie in a bucket',
      description:
        'Writes a metadata folder as `shardsieve score` does. Shards are scored by a queue’s workers, each shard whole or not at all; what is there is never replaced.',
      scope: 'jobs',
      curl: `curl -H "Authorization: Bearer $KEY" --json '{"prefix": "pool/", "out": "metadata/pool"}' $URL/v1/jobs`,
      body: { 'application/json': jobRequest },
      answers: { 202: { description: 'It will be done; `Location` says how far it is.', ...answer } },
      problems: [...BODY_PROBLEMS, 'conflict', 'not_implemented'],
      async handle(context) {
        const runner = jobs();
        const form = { fields: [], toJson: () => ({}) };
        const { json } = await readSent(context.req.raw, form, service.limits);
        const request = checked(jobRequest, json);
        try {
          const job = await runner.create(request);
          return context.json(job, 202, { location: `/v1/jobs/${job.id}`, 'cache-control': 'no-store' });
        } catch (error) {
          if (error instanceof MetadataError) throw new Problem('conflict', error.message, { cause: error });
          if (error instanceof UsageError) throw new Problem('invalid', error.message, { cause: error });
          throw error;
        }
      },
    },
    {
      method: 'get',
      path: '/v1/jobs/{id}',
      operationId: 'job',
      summary: 'How far a job is',
      description:
        'Counted from what lies in the bucket: the shards’ own stats, and what each worker has put away.',
      scope: 'jobs',
      curl: 'curl -H "Authorization: Bearer $KEY" $URL/v1/jobs/$ID',
      parameters: [
        { name: 'id', in: 'path', description: 'As the job was answered.', required: true, schema: z.uuid() },
      ],
      answers: { 200: { description: 'As it is now.', ...answer } },
      problems: ['not_found', 'not_implemented'],
      async handle(context) {
        const runner = jobs();
        const id = (context.req.param('id') ?? '').toLowerCase();
        const job = ID.test(id) ? await runner.progress(id) : undefined;
        if (job === undefined) throw new Problem('not_found', 'there is no job of this id');
        return context.json(job, 200, { 'cache-control': 'no-store' });
      },
    },
  ];
}
