/** The documentation page: the OpenAPI document as HTML. No script, no request elsewhere, a style of its own. */
import { html } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';
import type { JsonObject, OpenApiDocument, Operation } from './openapi.ts';

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

export function docsPage(document: OpenApiDocument): Html {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const { title, version, description } = document.info;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} API</title>
<link rel="stylesheet" href="docs.css">
</head>
<body>
<header><h1>${title} API <small>${version}</small></h1><p>${prose(description)} As <a href="openapi.json">openapi.json</a>, for generators of clients.</p></header>
<nav><ul>${operations.map(
    ({ path, method, operation }) =>
      html`<li><a href="#${operation.operationId}"><code>${method.toUpperCase()} ${path}</code></a> ${operation.summary}</li>`,
  )}</ul></nav>
<main>${operations.map(section)}
<h2>Schemas</h2>
${Object.entries(document.components.schemas).map(
  ([name, schema]) =>
    html`<section id="schema-${name}"><h3>${name}</h3>${prose(textOf(schema))}${shape(schema)}</section>`,
)}
</main>
</body>
</html>`;
}

function section({ path, method, operation }: { path: string; method: string; operation: Operation }): Html {
  const { operationId, summary, description, security, parameters = [], requestBody, responses } = operation;
  const samples = operation['x-codeSamples'] ?? [];
  return html`<section id="${operationId}">
<h2><code>${method.toUpperCase()} ${path}</code></h2>
<p>${summary}.${security === undefined ? '' : ' Needs a key.'}</p>
${description === undefined ? '' : html`<p>${prose(description)}</p>`}
${samples.map(({ source }) => html`<pre>${source}</pre>`)}
${
  parameters.length === 0
    ? ''
    : html`<h3>Parameters</h3><dl>${parameters.map(
        ({ name, description }) =>
          html`<dt><code>${String(name)}</code></dt><dd>${prose(String(description ?? ''))}</dd>`,
      )}</dl>`
}
${
  requestBody === undefined
    ? ''
    : html`<h3>Body</h3>${Object.entries(requestBody.content).map(
        ([type, { schema }]) => html`<h4><code>${type}</code></h4>${shape(schema)}`,
      )}`
}
<h3>Answers</h3>
<table>${Object.entries(responses).map(
    ([status, { description, content = {} }]) =>
      html`<tr><td><code>${status}</code></td><td>${description}</td><td>${Object.values(content).map(({ schema }) => kind(schema))}</td></tr>`,
  )}</table>
</section>`;
}

/** An object's fields as a list; anything else in a word. */
function shape(schema: JsonObject): Html {
  const { properties, required, anyOf } = schema;
  if (Array.isArray(anyOf)) {
    return html`<p>One of:</p><ul>${anyOf.map((one) => (isObject(one) ? html`<li>${shape(one)}</li>` : ''))}</ul>`;
  }
  if (!isObject(properties)) return html`<p>${kind(schema)}</p>`;
  const needed = Array.isArray(required) ? required : [];
  return html`<dl>${Object.entries(properties).map(([name, field]) =>
    isObject(field)
      ? html`<dt><code>${name}</code> ${kind(field)}${needed.includes(name) ? '' : ', optional'}</dt><dd>${prose(textOf(field))}${nested(field)}</dd>`
      : '',
  )}</dl>`;
}

function nested(field: JsonObject): Html | string {
  const inner = isObject(field['items']) ? field['items'] : field;
  return isObject(inner['properties']) ? shape(inner) : '';
}

/** What a value is: a link to its schema, or its type and bounds. */
function kind(schema: JsonObject): Html {
  const { $ref, type, items, anyOf, format } = schema;
  if (typeof $ref === 'string') {
    const name = $ref.slice($ref.lastIndexOf('/') + 1);
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  if (isObject(items)) return html`${bounds(schema)} of ${kind(items)}`;
  if (Array.isArray(anyOf)) {
    return html`${anyOf.flatMap((one, i) => (isObject(one) ? [i === 0 ? '' : ' or ', kind(one)] : []))}`;
  }
  if (Array.isArray(schema['enum'])) return html`${schema['enum'].map(String).join(' | ')}`;
  if ('const' in schema) return html`${String(schema['const'])}`;
  return html`${format === 'binary' ? 'file' : String(type ?? 'any')}${bounds(schema)}`;
}

function bounds({ type, minItems, maxItems, maxLength }: JsonObject): string {
  if (type === 'array') {
    if (maxItems === undefined) return 'list';
    return `${String(minItems ?? 0)} to ${String(maxItems)}`;
  }
  return maxLength === undefined ? '' : `, up to ${String(maxLength)} characters`;
}

function textOf({ description }: JsonObject): string {
  return typeof description === 'string' ? description : '';
}

/** Text with `code` in it. */
function prose(text: string): Html {
  return html`${text.split('`').map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : part))}`;
}

function isObject(value: JsonObject[string] | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const DOCS_STYLE = `:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h4 { margin: 1rem 0 0; }
code, pre { font: 0.9em ui-monospace, monospace; background: var(--soft); border-radius: 3px; padding: 0 0.2em; }
pre { padding: 0.7em; overflow-x: auto; }
dl { margin: 0.3rem 0; }
dt { margin-top: 0.4rem; }
dd { margin-left: 1.5rem; }
table { border-collapse: collapse; }
td { border: 1px solid var(--line); padding: 0.2em 0.6em; vertical-align: top; }
`;
