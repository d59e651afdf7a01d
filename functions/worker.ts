import { Hono } from 'hono';
import { VERSION } from '../src/version.ts';

/** The edge front. For now it only says that it is alive; scoring at the edge stands on the same rooms of `src/`. */
const app = new Hono();

app.get('/healthz', (context) => context.json({ status: 'ok', version: VERSION }));

app.notFound((context) =>
  context.json(
    { type: 'about:blank', title: 'Not Found', status: 404, detail: `no route ${context.req.path}` },
    404,
    {
      'content-type': 'application/problem+json',
    },
  ),
);

export default app;
