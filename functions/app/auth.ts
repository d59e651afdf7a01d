/** Who may ask, and how often. */
import type { MiddlewareHandler } from 'hono';
import type { KeyHolder } from './keys.ts';
import { Problem } from './problems.ts';
import type { AppContext, AppEnv, Route } from './route.ts';
import type { Service } from './service.ts';

const CHALLENGE = 'Bearer realm="shardsieve"';

/** Before a route's handler: its name for the log; where it has a scope, the key and the rate limit. */
export function guard(service: Service, { path, scope }: Route): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    context.set('route', path);
    if (scope !== undefined) {
      const holder = service.keys === 'open' ? undefined : await holderOf(context, service.keys);
      if (holder?.scopes !== undefined && !holder.scopes.includes(scope)) {
        throw new Problem('forbidden', `this key is not for ${scope}`);
      }
      if (holder !== undefined) context.set('holder', holder);
      const client = holder?.name ?? service.clientOf?.(context.req.raw, context.env) ?? 'all';
      const taken = await service.rateLimit?.take(client);
      if (taken?.allowed === false) {
        throw new Problem('too_many_requests', `come back in ${taken.retryAfter} s`, taken);
      }
    }
    await next();
  };
}

async function holderOf(context: AppContext, keys: Exclude<Service['keys'], 'open'>): Promise<KeyHolder> {
  const given = context.req.header('authorization');
  const key = /^bearer +(\S+)$/i.exec(given ?? '')?.[1];
  if (key === undefined) {
    throw new Problem('unauthorized', 'send a key as "Authorization: Bearer ssk_…"', {
      headers: { 'www-authenticate': CHALLENGE },
    });
  }
  const holder = await keys.find(key);
  if (holder === undefined) {
    throw new Problem('unauthorized', 'this key is not known here, or no longer', {
      headers: { 'www-authenticate': `${CHALLENGE}, error="invalid_token"` },
    });
  }
  return holder;
}
