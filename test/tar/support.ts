/** What the tar tests share: fixtures, goldens, streams in pieces. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { readTar } from '../../src/tar/reader.ts';

export const FIXTURES = new URL('../fixtures/tar/', import.meta.url);

export interface ExpectedMember {
  name: string;
  type: string;
  size: number;
  offset: number;
  dataOffset: number;
  mtime: number;
  linkname: string;
  sha256: string;
}

export interface Expected {
  members: ExpectedMember[];
  problem: string | null;
  samples: { key: string; members: { [ext: string]: string } }[];
  errors: number;
  cuts?: [number, number][];
}

export const expected = JSON.parse(readFileSync(new URL('expected.json', FIXTURES), 'utf8')) as {
  [name: string]: Expected;
};

export function fixtureNames(): string[] {
  return readdirSync(FIXTURES)
    .filter((name) => name.endsWith('.tar'))
    .map((name) => name.slice(0, -4));
}

export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}.tar`, FIXTURES)));
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The bytes in pieces of the given sizes, over and over; zero-length pieces too. */
export async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length];
    yield bytes.slice(at, at + size);
    at += size;
  }
}

export interface Listed {
  name: string;
  type: string;
  size: number;
  offset: number;
  dataOffset: number;
  mtime: number;
  linkname: string;
  sha256: string;
}

/** Everything that the reader says of a tar, and the error it ended with. */
export async function list(
  stream: AsyncIterable<Uint8Array>,
  cap = 1 << 20,
): Promise<{ members: Listed[]; error: unknown }> {
  const members: Listed[] = [];
  try {
    for await (const entry of readTar(stream, { shard: 'test' })) {
      const { name, type, size, offset, dataOffset, mtime, linkname } = entry;
      const bytes = size <= cap ? await entry.bytes(cap) : new Uint8Array(0);
      members.push({ name, type, size, offset, dataOffset, mtime, linkname, sha256: sha256(bytes) });
    }
    return { members, error: undefined };
  } catch (error) {
    return { members, error };
  }
}
