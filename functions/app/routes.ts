import { classifyRoute } from './classify.ts';
import { docsRoutes } from './docs.ts';
import { embedRoute } from './embed.ts';
import { jobRoutes } from './jobs.ts';
import { modelsRoute } from './models.ts';
import { pictureReader } from './pictures.ts';
import type { Route } from './route.ts';
import { safetyRoute } from './safety.ts';
import { requestSchemas } from './schemas.ts';
import { scoreRoute } from './score.ts';
import type { Service } from './service.ts';
import { shardRoutes } from './shards.ts';
import { statusRoutes } from './status.ts';

/** All routes of the app; the OpenAPI document is made of them. */
export function routesOf(service: Service): Route[] {
  const schemas = requestSchemas(service.limits);
  const read = pictureReader(service);
  const routes = [
    scoreRoute(service, schemas, read),
    embedRoute(service, schemas, read),
    classifyRoute(service, schemas, read),
    safetyRoute(service, schemas, read),
    modelsRoute(service),
    ...shardRoutes(service),
    ...jobRoutes(service),
    ...statusRoutes(service),
  ];
  return [...routes, ...docsRoutes(service, routes)];
}
