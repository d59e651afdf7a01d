/** Routes that describe the others. */
import { DOCS_STYLE, docsPage } from './docs-page.ts';
import { type OpenApiDocument, openApi } from './openapi.ts';
import type { Route } from './route.ts';
import type { Service } from './service.ts';

/** `described`: the routes of the document; these are part of it. */
export function docsRoutes(service: Service, described: readonly Route[]): Route[] {
  let document: OpenApiDocument | undefined;
  const made = (): OpenApiDocument => {
    const now = document ?? openApi([...described, ...routes], service);
    // Models may come later, and are named in it.
    if (service.models.length > 0) document = now;
    return now;
  };
  const routes: Route[] = [
    {
      method: 'get',
      path: '/openapi.json',
      operationId: 'openapi',
      summary: 'This document',
      answers: { 200: { description: 'OpenAPI 3.1.', content: { 'application/json': 'any' } } },
      handle: (context) => context.json(made()),
    },
    {
      method: 'get',
      path: '/docs',
      operationId: 'docs',
      summary: 'This document as a page',
      answers: { 200: { description: 'HTML.', content: { 'text/html': 'text' } } },
      handle: (context) => context.html(docsPage(made())),
    },
    {
      method: 'get',
      path: '/docs.css',
      operationId: 'docsStyle',
      summary: 'The style of that page',
      answers: { 200: { description: 'CSS.', content: { 'text/css': 'text' } } },
      handle: (context) => context.text(DOCS_STYLE, 200, { 'content-type': 'text/css; charset=utf-8' }),
    },
  ];
  return routes;
}
