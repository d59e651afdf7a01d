/** Routes of whole shards in a request's body, scored as they arrive. */
import type { Route } from './route.ts';
import type { Service } from './service.ts';

export function shardRoutes(_service: Service): Route[] {
  return [];
}
