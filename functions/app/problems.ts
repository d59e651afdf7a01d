/** RFC 9457 problem documents, and what each error of the engine becomes. */
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import {
  BusyError,
  CancelledError,
  DownloadError,
  isShardsieveError,
  SampleError,
  UsageError,
} from '../../src/errors.ts';
import type { AppContext } from './route.ts';

export const PROBLEM_TYPE = 'application/problem+json';

/** By the last part of their `type`, `urn:shardsieve:problem:<kind>`. */
export const PROBLEMS = {
  bad_request: { status: 400, title: 'The request cannot be read' },
  unauthorized: { status: 401, title: 'A key is needed' },
  forbidden: { status: 403, title: 'Not allowed' },
  not_found: { status: 404, title: 'There is nothing here' },
  method_not_allowed: { status: 405, title: 'This method is not for this place' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'This contradicts what is there' },
  too_large: { status: 413, title: 'Larger than this server takes' },
  unsupported_media_type: { status: 415, title: 'This kind of content is not read here' },
  invalid: { status: 422, title: 'The request says something that cannot be done' },
  too_many_requests: { status: 429, title: 'Too many requests' },
  client_closed: { status: 499, title: 'The client went away' },
  internal: { status: 500, title: 'A fault of the server' },
  not_implemented: { status: 501, title: 'This server does not do that' },
  unavailable: { status: 503, title: 'Not now' },
} as const satisfies Record<string, { status: number; title: string }>;
export type ProblemKind = keyof typeof PROBLEMS;

/** One thing that is wrong in a request. */
export interface FieldError {
  /** RFC 6901, from the root of the JSON that was sent or that a form stands for; empty for the whole. */
  pointer: string;
  detail: string;
  /** For a picture: the reason for which `shardsieve score` would skip its sample. */
  reason?: string;
}

/** Above this many wrong fields nobody reads on. */
export const MAX_ERRORS = 20;

export interface ProblemDetails {
  errors?: readonly FieldError[];
  /** Seconds. */
  retryAfter?: number;
  headers?: Readonly<Record<string, string>>;
  cause?: unknown;
}

/** Thrown anywhere under the app, it becomes its answer. `detail` is read by whoever asked: no secrets, no paths. */
export class Problem extends Error {
  readonly kind: ProblemKind;
  readonly errors: readonly FieldError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(kind: ProblemKind, detail: string, details: ProblemDetails = {}) {
    super(detail, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'Problem';
    this.kind = kind;
    this.errors = details.errors;
    this.headers = {
      ...details.headers,
      ...(details.retryAfter === undefined ? {} : { 'retry-after': String(Math.ceil(details.retryAfter)) }),
    };
  }

  get status(): ContentfulStatusCode {
    return PROBLEMS[this.kind].status as ContentfulStatusCode;
  }
}

/** The problem with one field. */
export function fieldProblem(kind: ProblemKind, error: FieldError): Problem {
  return new Problem(kind, error.pointer === '' ? error.detail : `${error.pointer}: ${error.detail}`, {
    errors: [error],
  });
}

/** Where a server has no model, whichever was asked for: one may come. */
export function noModelYet(): Problem {
  return new Problem('unavailable', 'no model is loaded yet', { retryAfter: 1 });
}

/** Whatever was thrown, as a problem. What is a fault of ours keeps its message for the log, as `cause`. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof SampleError) return new Problem(kindOfSample(error), error.message, { cause: error });
  if (error instanceof UsageError) return new Problem('invalid', error.message, { cause: error });
  if (error instanceof BusyError) {
    const { message, retryAfter } = error;
    return new Problem('unavailable', message, { retryAfter, cause: error });
  }
  if (error instanceof CancelledError) {
    return new Problem('unavailable', 'the server stopped before the answer was ready', {
      retryAfter: 1,
      cause: error,
    });
  }
  if (error instanceof DownloadError) {
    return new Problem('unavailable', 'a machine that this server asks did not answer', {
      retryAfter: 1,
      cause: error,
    });
  }
  if (error instanceof HTTPException) {
    const kind = (Object.keys(PROBLEMS) as ProblemKind[]).find(
      (one) => PROBLEMS[one].status === error.status,
    );
    return new Problem(kind ?? 'internal', error.message, { cause: error });
  }
  const detail = isShardsieveError(error) ? `the engine failed (${error.code})` : 'an unforeseen error';
  return new Problem('internal', `${detail}; the server's log has it under this request id`, {
    cause: error,
  });
}

/** A picture that is no picture is 415, one that is too large 413, a broken one 422. */
export function kindOfSample({ reason }: SampleError): ProblemKind {
  if (reason === 'image_too_large' || reason === 'member_too_large') return 'too_large';
  if (reason === 'unsupported_at_edge') return 'unsupported_media_type';
  return 'invalid';
}

/** The document, with the headers that go with it. */
export function problemResponse(context: AppContext, problem: Problem): Response {
  const { kind, message, errors, status, headers } = problem;
  const body = {
    type: typeOf(kind),
    title: PROBLEMS[kind].title,
    status,
    detail: message,
    ...(errors === undefined ? {} : { errors }),
    request_id: context.get('requestId'),
  };
  return context.body(JSON.stringify(body), status, {
    'content-type': PROBLEM_TYPE,
    'cache-control': 'no-store',
    ...headers,
  });
}

export function typeOf(kind: ProblemKind): string {
  return `urn:shardsieve:problem:${kind.replaceAll('_', '-')}`;
}
