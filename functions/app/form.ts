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

/** Throws `Problem`: 400, 422. */
export async function parseForm(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<FormData> {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type) ?? [];
  const mark = new TextEncoder().encode(`--${quoted ?? plain ?? ''}`);
  let parts = 0;
  for (let at = find(bytes, mark, 0); at >= 0; at = find(bytes, mark, at + mark.length)) {
    parts++;
    if (parts > MOST_PARTS) throw new Problem('invalid', 'the form has more fields than any request takes');
  }
  try {
    return await new Response(bytes, { headers: { 'content-type': type } }).formData();
  } catch (cause) {
    throw new Problem('bad_request', 'the body is no multipart form of the boundary that its type names', {
      cause,
    });
  }
}

function find(bytes: Uint8Array, mark: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(mark[0], from); at >= 0; at = bytes.indexOf(mark[0], at + 1)) {
    if (mark.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
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
