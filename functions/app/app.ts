/** The app: the same on Node and on Workers, over whatever a `Service` brings. */
import { Hono } from 'hono';
import { admit } from './auth.ts';
import { crossOrigin, identify, observe, secure } from './edges.ts';
import { addPage } from './page.ts';
import { Problem, problemOf, problemResponse } from './problems.ts';
import type { AppEnv, Route } from './route.ts';
import { routesOf } from './routes.ts';
import type { Service } from './service.ts';

export function createApp(service: Service): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(identify(), observe(service), secure(), ...crossOrigin(service));
  const routes = routesOf(service);
  for (const route of routes) {
    app.on(route.method.toUpperCase(), honoPath(route.path), async (context) => {
      context.set('route', route.path);
      try {
        await admit(context, service, route);
        return await route.handle(context);
      } catch (error) {
        // Here, as Hono hands on what is an Error alone, and codecs throw numbers.
        throw problemOf(error);
      }
    });
  }
  // HEAD is answered where GET is, by Hono itself.
  for (const [path, methods] of methodsByPath(routes)) {
    const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
    app.all(honoPath(path), (context) => {
      context.set('route', path);
      throw new Problem('method_not_allowed', `${context.req.method} is not for ${path}`, {
        headers: { allow: allow.join(', ') },
      });
    });
  }
  addPage(app, service);
  app.notFound((context) => {
    const { path } = context.req;
    const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
    const problem = new Problem('not_found', `no route ${shown}`);
    // Returned and not thrown: what is thrown here passes by the headers. The log finds it where it looks.
    context.error = problem;
    return problemResponse(context, problem);
  });
  app.onError((error, context) => problemResponse(context, problemOf(error)));
  return app;
}

function honoPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

function methodsByPath(routes: readonly Route[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { path, method } of routes) {
    found.set(path, [...(found.get(path) ?? []), method.toUpperCase()]);
  }
  return found;
}
