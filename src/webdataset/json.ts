/**
 * JSON as Python's `json` reads it, which is what wrote the members: UTF-8 with or without a byte order mark, and
 * with the tokens NaN, Infinity and -Infinity, that pandas leaves where a caption or size was missing. Those become
 * null. Nothing else is lenient.
 */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface JsonObject {
  [name: string]: Json;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Throws an untyped error for what is no UTF-8, no JSON, or no object; the caller says where. */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  const text = utf8.decode(bytes);
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    const plain = withoutNonFinite(text);
    if (plain === undefined) throw error;
    value = JSON.parse(plain) as Json;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('it is no object');
  return value;
}

/** A field by its name, else by a path with dots (`exif.Make`); `undefined` where there is none. */
export function fieldOf(object: JsonObject, path: string): Json | undefined {
  if (Object.hasOwn(object, path)) return object[path];
  let value: Json | undefined = object;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) {
      return undefined;
    }
    value = value[name];
  }
  return value;
}

/** Levels that a carried field may have: writing it again is recursive, and reading it was not. */
const MAX_DEPTH = 64;

export function isTooDeep(value: Json, left = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return left === 0 || Object.values(value).some((inner) => isTooDeep(inner, left - 1));
}

/** The three tokens outside of strings to null; `undefined` where there are none. */
function withoutNonFinite(text: string): string | undefined {
  let plain = '';
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      at = stringEnd(text, at);
      continue;
    }
    if (character !== 'N' && character !== 'I' && character !== '-') continue;
    const token = ['NaN', 'Infinity', '-Infinity'].find((name) => text.startsWith(name, at));
    if (token === undefined) continue;
    plain += `${text.slice(from, at)}null`;
    at += token.length - 1;
    from = at + 1;
  }
  return from === 0 ? undefined : plain + text.slice(from);
}

/** Index of the quote that closes the string opened at `at`. */
function stringEnd(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end;
}
