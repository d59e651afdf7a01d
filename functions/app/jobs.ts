/** Routes of jobs over shards that lie in a bucket, answered by other machines than the one asked. */
import { Problem } from './problems.ts';
import type { Route } from './route.ts';
import type { Service } from './service.ts';

/** What runs jobs on a platform. */
export interface Jobs {
  readonly kind: string;
}

export function jobRoutes(_service: Service): Route[] {
  return [];
}

/** What is said where a platform runs no jobs. */
export function noJobs(): Problem {
  return new Problem('not_implemented', 'this server runs no jobs');
}
