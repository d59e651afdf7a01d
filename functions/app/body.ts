/** A request's body: read under a bound, understood by its content type, checked against a schema. */
import type * as z from 'zod';
import type { Limits } from './limits.ts';
import { type FieldError, Problem } from './problems.ts';
import type { FormField } from './route.ts';

/** Files of a form by name; the second of one name is `name[1]`. */
export type Parts = ReadonlyMap<string, Uint8Array>;

/** What was sent: JSON, or the JSON that a form stands for, with the files it names. */
export interface Sent {
  json: unknown;
  parts: Parts;
  bytes: number;
}

/** The fields of a form's simple way to ask, and the request that they make. */
export interface Form {
  fields: readonly FormField[];
  toJson(values: FormValues): unknown;
}

export interface FormValues {
  /** Images by the names of their parts. */
  images(name: string): { part: string }[];
  texts(name: string): string[];
  text(name: string): string | undefined;
  boolean(name: string): boolean | string | undefined;
}

/** Above this many wrong fields nobody reads on. */
const MAX_ERRORS = 20;
/** The field of a form that holds the request as JSON. */
export const REQUEST_FIELD = 'request';

/** Throws `Problem`: 400, 408, 413, 415. */
export async function readSent(request: Request, form: Form, limits: Limits): Promise<Sent> {
  const type = (request.headers.get('content-type') ?? '').split(';')[0].trim().toLowerCase();
  const isForm = type === 'multipart/form-data';
  if (!isForm && type !== 'application/json') {
    throw new Problem(
      'unsupported_media_type',
      `send application/json or multipart/form-data, not ${type === '' ? 'a body of no type' : type.slice(0, 100)}`,
    );
  }
  const encoding = request.headers.get('content-encoding');
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    throw new Problem('unsupported_media_type', 'send the body without a content-encoding');
  }
  const body = await readBody(request, limits);
  if (!isForm) return { json: parseJson(body, 'the body'), parts: new Map(), bytes: body.length };
  const data = await parseForm(body, request.headers.get('content-type') ?? '');
  return { ...(await formToJson(data, form)), bytes: body.length };
}

/** The bytes of a body, counted as they arrive. Throws `Problem`: 408, 413. */
export async function readBody(request: Request, limits: Limits): Promise<Uint8Array<ArrayBuffer>> {
  const { bodyBytes, bodyMs } = limits;
  const tooLarge = () => new Problem('too_large', `the body is larger than ${bodyBytes} bytes`);
  if (Number(request.headers.get('content-length') ?? 0) > bodyBytes) throw tooLarge();
  if (request.body === null) return new Uint8Array(0);
  const reader = request.body.getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Problem('request_timeout', `the body did not arrive within ${bodyMs} ms`));
    }, bodyMs);
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) break;
      size += value.length;
      if (size > bodyBytes) throw tooLarge();
      chunks.push(value);
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    if (error instanceof Problem) throw error;
    throw new Problem('client_closed', 'the body broke off', { cause: error });
  } finally {
    clearTimeout(timer);
  }
  const out = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** Throws `Problem` 422 with a pointer for each thing that is wrong. */
export function checked<Schema extends z.ZodType>(schema: Schema, json: unknown): z.output<Schema> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.slice(0, MAX_ERRORS).flatMap((issue): FieldError[] => {
    const path = issue.path.map(String);
    if (issue.code !== 'unrecognized_keys') return [{ pointer: pointer(path), detail: issue.message }];
    return issue.keys.slice(0, MAX_ERRORS).map((key) => ({
      pointer: pointer([...path, key.slice(0, 100)]),
      detail: 'is not a field of this request',
    }));
  });
  const [{ pointer: at, detail }] = errors;
  throw new Problem('invalid', `${at === '' ? 'the request' : at}: ${detail}`, { errors });
}

/** RFC 6901. */
export function pointer(path: readonly (string | number)[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Problem('bad_request', `${what} is no JSON in UTF-8`, { cause });
  }
}

async function parseForm(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<FormData> {
  try {
    return await new Response(bytes, { headers: { 'content-type': type } }).formData();
  } catch (cause) {
    throw new Problem('bad_request', 'the body is no multipart form of the boundary that its type names', {
      cause,
    });
  }
}

async function formToJson(data: FormData, form: Form): Promise<Omit<Sent, 'bytes'>> {
  const parts = new Map<string, Uint8Array>();
  const images = new Map<string, { part: string }[]>();
  const texts = new Map<string, string[]>();
  for (const [name, value] of data) {
    if (typeof value === 'string') texts.set(name, [...(texts.get(name) ?? []), value]);
    else {
      const there = images.get(name) ?? [];
      const part = there.length === 0 ? name : `${name}[${there.length}]`;
      parts.set(part, new Uint8Array(await value.arrayBuffer()));
      images.set(name, [...there, { part }]);
    }
  }
  const asked = texts.get(REQUEST_FIELD) ?? [];
  if (asked.length > 0) {
    const rest = [...texts.keys()].filter((name) => name !== REQUEST_FIELD);
    if (rest.length > 0 || asked.length > 1) {
      throw new Problem('invalid', `beside one "${REQUEST_FIELD}" a form holds files only`);
    }
    return { json: parseJson(new TextEncoder().encode(asked[0]), `the field "${REQUEST_FIELD}"`), parts };
  }
  checkNames([...texts.keys()], [...images.keys()], form);
  const json = form.toJson({
    images: (name) => images.get(name) ?? [],
    texts: (name) => texts.get(name) ?? [],
    text: (name) => texts.get(name)?.[0],
    boolean(name) {
      const value = texts.get(name)?.[0];
      return value === 'true' ? true : value === 'false' ? false : value;
    },
  });
  return { json, parts };
}

/** What is not read would be lost without a word. */
function checkNames(texts: readonly string[], files: readonly string[], { fields }: Form): void {
  const errors: FieldError[] = [];
  for (const [names, isFile] of [[texts, false] as const, [files, true] as const]) {
    for (const name of names) {
      const field = fields.find((one) => one.name === name);
      const shown = pointer([name.slice(0, 100)]);
      if (field === undefined) errors.push({ pointer: shown, detail: 'is not a field of this form' });
      else if ((field.kind === 'file') !== isFile) {
        errors.push({ pointer: shown, detail: isFile ? 'must be text, not a file' : 'must be a file' });
      }
    }
  }
  if (errors.length > 0) {
    throw new Problem('invalid', `${errors[0].pointer}: ${errors[0].detail}`, {
      errors: errors.slice(0, MAX_ERRORS),
    });
  }
}
