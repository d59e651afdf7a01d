/** A route as data: the handler, and what the OpenAPI document, the keys and the log say of it. */
import type { Context } from 'hono';
import type * as z from 'zod';
import type { KeyHolder, Scope } from './keys.ts';
import type { ProblemKind } from './problems.ts';
import type { LogLine } from './service.ts';

export interface AppEnv {
  Variables: {
    requestId: string;
    /** Absent on open routes and on open servers. */
    holder?: KeyHolder;
    /** The route as it was declared. */
    route?: string;
    /** What the request's log line says beside the request itself: models, counts. */
    logged: Partial<LogLine>;
  };
}
export type AppContext = Context<AppEnv>;

/** What lies behind a content type: a schema, a form that is made of one, or JSON, bytes and text of no schema. */
export type Content = z.ZodType | { form: readonly FormField[] } | 'any' | 'binary' | 'text';

/** A field of a multipart form. */
export interface FormField {
  name: string;
  description: string;
  kind: 'file' | 'text' | 'boolean';
  required?: boolean;
  repeated?: boolean;
}

export interface Answer {
  description: string;
  /** By content type. */
  content?: Readonly<Record<string, Content>>;
}

export interface Route {
  method: 'get' | 'post' | 'put' | 'delete';
  /** As OpenAPI writes it: `/v1/jobs/{id}`. */
  path: string;
  operationId: string;
  summary: string;
  /** CommonMark. */
  description?: string;
  /** What a key must be for; absent: no key is needed. */
  scope?: Scope;
  /** Parameters in the path and the query. */
  parameters?: readonly {
    name: string;
    in: 'path' | 'query';
    description: string;
    required?: boolean;
    schema: z.ZodType;
  }[];
  /** The body by content type. */
  body?: Readonly<Record<string, Content>>;
  /** Answers that are no problems, by status. */
  answers: Readonly<Record<number, Answer>>;
  /** Problems that it may answer with, beside those of every route (404, 405, 500, and of keys 401, 403, 429). */
  problems?: readonly ProblemKind[];
  /** An example for people; `$URL` and `$KEY` stand for theirs. */
  curl?: string;
  handle(context: AppContext): Response | Promise<Response>;
}

/** What any route with a body of JSON or a form may answer with. */
export const BODY_PROBLEMS: readonly ProblemKind[] = [
  'bad_request',
  'forbidden',
  'request_timeout',
  'too_large',
  'unsupported_media_type',
  'invalid',
  'client_closed',
  'unavailable',
];
