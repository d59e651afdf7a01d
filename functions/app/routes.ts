import { jobRoutes } from './jobs.ts';
import type { Route } from './route.ts';
import type { Service } from './service.ts';
import { shardRoutes } from './shards.ts';
import { statusRoutes } from './status.ts';

/** All routes of the app; the OpenAPI document is made of them. */
export function routesOf(service: Service): Route[] {
  return [...statusRoutes(service), ...shardRoutes(service), ...jobRoutes(service)];
}
