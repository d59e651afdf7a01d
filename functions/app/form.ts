/** Multipart forms, as the JSON that they stand for. */
import { parseJson } from './json.ts';
import { pointer } from './pointer.ts';
import { type FieldError, MAX_ERRORS, Problem } from './problems.ts';
import type { FormField } from './route.ts';

/** Files of a form by name; the second of one name is `name[1]`. */
export type Parts = ReadonlyMap<string, Uint8Array>;

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

/** The field of a form that holds the request as JSON. */
export const REQUEST_FIELD = 'request';

function added<T>(lists: Map<string, T[]>, name: string, value: T): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [value]);
  else list.push(value);
}

/** Parts of a form: pictures, captions and prompts at their limits are a third of it. */
const MOST_PARTS = 5_000;

/** RFC 2046, 5.1.1: `bchars`, at most 70 of them, the last no space. */
const BOUNDARY = /^[\w'()+,\-./:=? ]{0,69}[\w'()+,\-./:=?]$/;

/** Throws `Problem`: 400, 422. */
export async function parseForm(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<FormData> {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type) ?? [];
  const boundary = quoted ?? plain ?? '';
  if (!BOUNDARY.test(boundary)) {
    throw new Problem('bad_request', 'the form’s type must name its boundary, of at most 70 characters');
  }
  if (countDelimiters(bytes, boundary) > MOST_PARTS) {
    throw new Problem('invalid', 'the form has more fields than any request takes');
  }
  try {
    // The boundary that was counted, whatever else the type says.
    const headers = { 'content-type': `multipart/form-data; boundary="${boundary}"` };
    return await new Response(bytes, { headers }).formData();
  } catch (cause) {
    throw new Problem('bad_request', 'the body is no multipart form of the boundary that its type names', {
      cause,
    });
  }
}

const LINE_FEED = 10;

/** Lines that begin with the delimiter, in one pass: within a line it is none (RFC 2046, 5.1.1). */
function countDelimiters(bytes: Uint8Array, boundary: string): number {
  const mark = new TextEncoder().encode(`--${boundary}`);
  let count = 0;
  // Bytes of the mark that the line began with; -1 once it began otherwise.
  let matched = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === LINE_FEED) matched = 0;
    else if (matched >= 0) {
      matched = bytes[at] === mark[matched] ? matched + 1 : -1;
      if (matched === mark.length) {
        count++;
        matched = -1;
      }
    }
  }
  return count;
}

/** The request that a form stands for, and its files. Throws `Problem` 400, 422. */
export async function formToJson(data: FormData, form: Form): Promise<{ json: unknown; parts: Parts }> {
  const parts = new Map<string, Uint8Array>();
  const images = new Map<string, { part: string }[]>();
  const texts = new Map<string, string[]>();
  for (const [name, value] of data) {
    if (typeof value === 'string') added(texts, name, value);
    else {
      const before = images.get(name)?.length ?? 0;
      const part = before === 0 ? name : `${name}[${before}]`;
      parts.set(part, new Uint8Array(await value.arrayBuffer()));
      added(images, name, { part });
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
