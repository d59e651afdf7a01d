import { readdirSync, readFileSync } from 'node:fs';
import { MemoryFolder } from './memory-folder.ts';

const ROOT = new URL('../fixtures/', import.meta.url);

/** A fixture's bytes, in memory of their own. */
export function fixture(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(path, ROOT)));
}

export function fixtureJson<T>(path: string): T {
  return JSON.parse(new TextDecoder().decode(fixture(path))) as T;
}

/** One JSON value a line. */
export function fixtureLines<T>(path: string): T[] {
  const lines = new TextDecoder().decode(fixture(path)).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as T);
}

/** A folder of fixtures, copied into memory. */
export function fixtureFolder(path: string): MemoryFolder {
  const names = readdirSync(new URL(path, ROOT));
  return new MemoryFolder(path, Object.fromEntries(names.map((name) => [name, fixture(`${path}/${name}`)])));
}
