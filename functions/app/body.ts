/** A request's body: read under a bound, understood by its content type, checked against a schema. */
import type * as z from 'zod';
import { stoppableReads } from '../../src/io/web.ts';
import { type Form, formToJson, type Parts, parseForm } from './form.ts';
import { parseJson } from './json.ts';
import type { Limits } from './limits.ts';
import { pointer } from './pointer.ts';
import { type FieldError, MAX_ERRORS, Problem } from './problems.ts';

/** What was sent: JSON, or the JSON that a form stands for, with the files it names. */
export interface Sent {
  json: unknown;
  parts: Parts;
  bytes: number;
}

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

/** Room for the beginning of a body; what a length promises is not held ready. */
const FIRST_BYTES = 2 ** 20;

/** The bytes of a body, counted as they arrive. Throws `Problem`: 408, 413. */
export async function readBody(request: Request, limits: Limits): Promise<Uint8Array<ArrayBuffer>> {
  const { bodyBytes, bodyMs } = limits;
  const tooLarge = () => new Problem('too_large', `the body is larger than ${bodyBytes} bytes`);
  const said = Number(request.headers.get('content-length') ?? 0);
  if (said > bodyBytes) throw tooLarge();
  if (request.body === null) return new Uint8Array(0);
  const reader = request.body.getReader();
  const reads = stoppableReads(reader);
  const timer = setTimeout(
    () => reads.stop(new Problem('request_timeout', `the body did not arrive within ${bodyMs} ms`)),
    bodyMs,
  );
  // One buffer that grows: a body may come in millions of chunks of a byte each.
  let bytes = new Uint8Array(Math.min(said || FIRST_BYTES, FIRST_BYTES));
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reads.read();
      if (done) break;
      const end = size + value.length;
      if (end > bodyBytes) throw tooLarge();
      if (end > bytes.length) {
        const larger = new Uint8Array(Math.min(bodyBytes, Math.max(end, 2 * bytes.length)));
        larger.set(bytes.subarray(0, size));
        bytes = larger;
      }
      bytes.set(value, size);
      size = end;
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    if (error instanceof Problem) throw error;
    throw new Problem('client_closed', 'the body broke off', { cause: error });
  } finally {
    clearTimeout(timer);
  }
  return bytes.subarray(0, size);
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
