/** The OpenAPI 3.1 document, made of the routes and their schemas: what is described is what is validated. */
import * as z from 'zod';
import { VERSION } from '../../src/version.ts';
import { REQUEST_FIELD } from './form.ts';
import { PROBLEM_TYPE, PROBLEMS, type ProblemKind } from './problems.ts';
import type { Answer, Content, FormField, Route } from './route.ts';
import { modelName, problemSchema } from './schemas.ts';
import type { Service } from './service.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface OpenApiDocument {
  openapi: '3.1.1';
  info: {
    title: string;
    version: string;
    description: string;
    license: { name: string; identifier: string };
  };
  servers: { url: string }[];
  paths: { [path: string]: { [method: string]: Operation } };
  components: {
    schemas: { [name: string]: JsonObject };
    securitySchemes?: { [name: string]: JsonObject };
  };
}

export interface Operation {
  operationId: string;
  summary: string;
  description?: string;
  security?: JsonObject[];
  parameters?: JsonObject[];
  requestBody?: { required: true; content: { [type: string]: { schema: JsonObject } } };
  responses: { [status: string]: Response };
  'x-codeSamples'?: { lang: 'Shell'; source: string }[];
}

interface Response {
  description: string;
  headers?: JsonObject;
  content?: { [type: string]: { schema: JsonObject } };
}

/** Every route may meet these. */
const EVERYWHERE: readonly ProblemKind[] = ['internal'];
const GUARDED: readonly ProblemKind[] = ['unauthorized', 'forbidden', 'too_many_requests'];
const SECURITY = 'key';

export function openApi(
  routes: readonly Route[],
  { keys, models }: Pick<Service, 'keys' | 'models'>,
): OpenApiDocument {
  const schemas = new Components(models.flatMap(({ name, slug }) => [name, slug]));
  const paths: OpenApiDocument['paths'] = {};
  for (const route of routes) {
    const place = paths[route.path] ?? {};
    place[route.method] = operation(route, schemas, keys !== 'open');
    paths[route.path] = place;
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Shardsieve',
      version: VERSION,
      description:
        'CLIP scores of pictures and captions, with the numbers of `shardsieve score`. Errors are problem documents (RFC 9457); every answer has an `X-Request-Id`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: schemas.all(),
      ...(keys === 'open'
        ? {}
        : {
            securitySchemes: {
              [SECURITY]: {
                type: 'http',
                scheme: 'bearer',
                description: 'A key, made by `shardsieve keys new NAME`.',
              },
            },
          }),
    },
  };
}

function operation(route: Route, schemas: Components, hasKeys: boolean): Operation {
  const { operationId, summary, description, scope, parameters, body, answers, problems = [], curl } = route;
  const isGuarded = scope !== undefined;
  const kinds = [...problems, ...EVERYWHERE, ...(isGuarded ? GUARDED : [])];
  const responses: Operation['responses'] = {};
  for (const [status, answer] of Object.entries(answers)) responses[status] = response(answer, schemas);
  for (const [status, said] of problemResponses(new Set(kinds), schemas)) responses[status] ??= said;
  return {
    operationId,
    summary,
    ...(description === undefined ? {} : { description }),
    ...(isGuarded && hasKeys ? { security: [{ [SECURITY]: [] }] } : {}),
    ...(parameters === undefined
      ? {}
      : {
          parameters: parameters.map(({ schema, required, ...rest }) => ({
            ...rest,
            required: rest.in === 'path' || required === true,
            schema: schemas.of(schema, 'input'),
          })),
        }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: mapped(body, (content) => ({ schema: schemaOf(content, schemas, 'input') })),
          },
        }),
    responses,
    ...(curl === undefined ? {} : { 'x-codeSamples': [{ lang: 'Shell', source: curl }] }),
  };
}

function response({ description, content }: Answer, schemas: Components): Response {
  if (content === undefined) return { description };
  return { description, content: mapped(content, (one) => ({ schema: schemaOf(one, schemas, 'output') })) };
}

function* problemResponses(
  kinds: ReadonlySet<ProblemKind>,
  schemas: Components,
): Generator<[string, Response]> {
  const content = { [PROBLEM_TYPE]: { schema: schemas.of(problemSchema, 'output') } };
  for (const kind of [...kinds].sort((a, b) => PROBLEMS[a].status - PROBLEMS[b].status)) {
    const { status, title } = PROBLEMS[kind];
    // Nobody is there to read it.
    if (kind === 'client_closed') continue;
    const header = HEADERS[kind];
    yield [
      String(status),
      { description: `${title}.`, ...(header === undefined ? {} : { headers: header }), content },
    ];
  }
}

const SECONDS = { description: 'Seconds after which to try again.', schema: { type: 'integer' } };
const HEADERS: { [kind in ProblemKind]?: JsonObject } = {
  unauthorized: { 'WWW-Authenticate': { schema: { type: 'string' } } },
  too_many_requests: { 'Retry-After': SECONDS },
  unavailable: { 'Retry-After': SECONDS },
};

function schemaOf(content: Content, schemas: Components, io: 'input' | 'output'): JsonObject {
  if (content === 'binary') return { type: 'string', format: 'binary' };
  if (content === 'any') return {};
  if (content === 'text') return { type: 'string' };
  if ('form' in content) return formSchema(content.form);
  return schemas.of(content, io);
}

/** A form is its simple fields, or the request as JSON beside the files that it names. */
function formSchema(fields: readonly FormField[]): JsonObject {
  const file = { type: 'string', format: 'binary' };
  const properties = Object.fromEntries(
    fields.map(({ name, kind, repeated, description }) => {
      const one: JsonObject =
        kind === 'file'
          ? file
          : kind === 'boolean'
            ? { type: 'string', enum: ['true', 'false'] }
            : { type: 'string' };
      return [name, { ...(repeated ? { type: 'array', items: one } : one), description }];
    }),
  );
  const required = fields.flatMap(({ name, required }) => (required ? [name] : []));
  return {
    anyOf: [
      { type: 'object', properties, required, additionalProperties: false },
      {
        type: 'object',
        properties: {
          [REQUEST_FIELD]: {
            type: 'string',
            description: 'The request as JSON; its images may be `{"part": NAME}`, files of this form.',
          },
        },
        required: [REQUEST_FIELD],
        additionalProperties: file,
      },
    ],
  };
}

function mapped<In, Out>(
  object: Readonly<Record<string, In>>,
  change: (value: In) => Out,
): { [key: string]: Out } {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

/** Schemas that have an id, each once, and references to them. */
class Components {
  readonly #schemas = new Map<string, JsonObject>();
  readonly #models: string[];

  constructor(models: readonly string[]) {
    this.#models = [...new Set(models)];
  }

  of(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
    const made = z.toJSONSchema(schema, {
      io,
      override: ({ zodSchema, jsonSchema }) => {
        if (zodSchema === modelName && this.#models.length > 0) jsonSchema.enum = this.#models;
      },
    });
    const text = JSON.stringify(made).replaceAll('"#/$defs/', '"#/components/schemas/');
    const { $defs, $schema: _, ...rest } = JSON.parse(text) as JsonObject;
    if (isObject($defs)) {
      for (const [name, definition] of Object.entries($defs)) {
        if (isObject(definition)) this.#schemas.set(name, definition);
      }
    }
    return rest;
  }

  all(): { [name: string]: JsonObject } {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
