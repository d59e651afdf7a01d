/** What every request passes, whatever its route: ids, the log and the metrics, headers that browsers heed. */
import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import { messageOf } from '../../src/errors.ts';
import { countDone } from './metrics.ts';
import { problemOf, typeOf } from './problems.ts';
import type { AppEnv } from './route.ts';
import type { LogLine, Service } from './service.ts';

/** Long enough for UUIDs and trace ids, short enough for logs. */
const MAX_ID = 64;

/** An id from the client, if it is made of letters, digits, `_`, `-` and `=`, else a new one; it is in the answer too. */
export function identify(): MiddlewareHandler<AppEnv> {
  return requestId({ limitLength: MAX_ID });
}

/** One log line and the metrics of a request, when its answer begins. */
export function observe({ log, metrics }: Service): MiddlewareHandler<AppEnv> {
  let inFlight = 0;
  metrics.gauge('shardsieve_in_flight', () => inFlight);
  return async (context, next) => {
    const started = performance.now();
    context.set('logged', {});
    inFlight++;
    try {
      await next();
    } finally {
      inFlight--;
    }
    const ms = performance.now() - started;
    const { status } = context.res;
    const route = context.get('route') ?? 'none';
    metrics.count('shardsieve_requests_total', { route, method: context.req.method, status });
    metrics.observe('shardsieve_request_seconds', ms / 1000, { route });
    const { model, images, captions } = context.get('logged');
    if (status === 200 && model !== undefined && images !== undefined) {
      countDone(metrics, [model], { images, captions: captions ?? 0 });
    }
    const line: LogLine = {
      // 501 is what this server was not given, no fault of it.
      level: status >= 500 && status !== 501 ? 'error' : 'info',
      message: 'request',
      requestId: context.get('requestId'),
      ...{ method: context.req.method, route, status, ms: Math.round(ms * 10) / 10 },
      key: context.get('holder')?.name,
      ...context.get('logged'),
    };
    if (context.error !== undefined) {
      const problem = problemOf(context.error);
      line.problem = typeOf(problem.kind);
      metrics.count('shardsieve_problems_total', { type: problem.kind });
      if (status >= 500) line.error = causes(problem);
    }
    log(line);
  };
}

/** Our own page needs its script, its style and pictures it was given; nothing else is loaded, from anywhere. */
export function secure(): MiddlewareHandler<AppEnv> {
  return secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'blob:', 'data:'],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
    xFrameOptions: 'DENY',
    referrerPolicy: 'no-referrer',
    // Pages elsewhere may call the API where CORS says so; this header would keep the answers from them.
    crossOriginResourcePolicy: false,
  });
}

/** Off unless origins are named. */
export function crossOrigin({ cors: origins }: Service): MiddlewareHandler<AppEnv>[] {
  if (origins === undefined || origins.length === 0) return [];
  return [
    cors({
      origin: [...origins],
      allowMethods: ['GET', 'POST', 'PUT'],
      allowHeaders: ['authorization', 'content-type', 'x-request-id'],
      exposeHeaders: ['x-request-id', 'retry-after', 'location'],
      maxAge: 600,
    }),
  ];
}

/** What a fault of ours was, from the outside in. It is the engine's own words: captions and pictures are not in them. */
function causes(error: unknown): string {
  const said: string[] = [];
  for (let at = error; at instanceof Error && said.length < 4; at = at.cause)
    said.push(`${at.name}: ${at.message}`);
  return (said.length === 0 ? messageOf(error) : said.join(' ← ')).slice(0, 1000);
}
