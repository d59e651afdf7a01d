/** Who may ask, and how often. */
import type { KeyHolder } from './keys.ts';
import { Problem } from './problems.ts';
import type { AppContext, Route } from './route.ts';
import type { Service } from './service.ts';

const CHALLENGE = 'Bearer realm="shardsieve"';

/** Before a route's handler: where it has a scope, the key and the rate limit. Throws `Problem`: 401, 403, 429. */
export async function admit(context: AppContext, service: Service, { scope }: Route): Promise<void> {
  if (scope === undefined) return;
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
