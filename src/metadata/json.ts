import { MetadataError, messageOf } from '../errors.ts';

/** Parses a file that must hold one JSON object. Throws `MetadataError` naming the file. */
export function parseJsonObject(bytes: Uint8Array, file: string): { [name: string]: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MetadataError(`not JSON: ${messageOf(cause)}`, { file, cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MetadataError('not a JSON object', { file });
  }
  return value as { [name: string]: unknown };
}
