/** Routes for machines that watch this one. */
import * as z from 'zod';
import { VERSION } from '../../src/version.ts';
import { Problem } from './problems.ts';
import type { Route } from './route.ts';
import type { Service } from './service.ts';

export const healthSchema = z
  .object({ status: z.literal('ok'), version: z.string() })
  .meta({ id: 'Health', description: 'The process answers.' });

export function statusRoutes(service: Service): Route[] {
  return [
    {
      method: 'get',
      path: '/healthz',
      operationId: 'health',
      summary: 'Whether the process answers',
      answers: { 200: { description: 'It does.', content: { 'application/json': healthSchema } } },
      handle: (context) =>
        context.json({ status: 'ok', version: VERSION } satisfies z.infer<typeof healthSchema>),
    },
    {
      method: 'get',
      path: '/readyz',
      operationId: 'ready',
      summary: 'Whether requests should be sent here',
      answers: { 200: { description: 'They should.', content: { 'application/json': healthSchema } } },
      problems: ['unavailable'],
      async handle(context) {
        try {
          await service.ready();
        } catch (cause) {
          throw new Problem('unavailable', 'not ready for requests', { retryAfter: 1, cause });
        }
        return context.json({ status: 'ok', version: VERSION } satisfies z.infer<typeof healthSchema>);
      },
    },
    {
      method: 'get',
      path: '/metrics',
      operationId: 'metrics',
      summary: 'Counters and times for Prometheus',
      scope: 'metrics',
      answers: { 200: { description: 'Text format 0.0.4.', content: { 'text/plain': 'text' } } },
      handle: (context) =>
        context.text(service.metrics.text(), 200, {
          'content-type': 'text/plain; version=0.0.4; charset=utf-8',
        }),
    },
  ];
}
