/** The page that tries the API out: a few files, given as they are. */
import type { Hono } from 'hono';
import type { AppEnv } from './route.ts';
import type { Service } from './service.ts';

const TYPES = {
  'index.html': 'text/html; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'api.js': 'text/javascript; charset=utf-8',
  'card.js': 'text/javascript; charset=utf-8',
  'table.js': 'text/javascript; charset=utf-8',
  'preview.js': 'text/javascript; charset=utf-8',
  'csv.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const;

export type PageFile = keyof typeof TYPES;
/** Reads one of them. */
export type PageReader = (name: PageFile) => Promise<Uint8Array<ArrayBuffer>>;

/** Nothing where the service has no page. It is no part of the API, and not in its document. */
export function addPage(app: Hono<AppEnv>, { page }: Service): void {
  if (page === undefined) return;
  for (const [name, type] of Object.entries(TYPES)) {
    const path = name === 'index.html' ? '/' : `/${name}`;
    app.get(path, async (context) => {
      context.set('route', path);
      return context.body(await page(name as PageFile), 200, {
        'content-type': type,
        'cache-control': 'no-cache',
      });
    });
  }
}
