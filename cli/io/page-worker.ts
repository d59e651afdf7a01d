/** A thread that reads and decompresses pages; requests are answered in the order of asking. */
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../../src/errors.ts';
import type { FlatChunk } from '../../src/metadata/parquet-flat.ts';
import { type Page, readPages } from '../../src/metadata/parquet-pages.ts';
import { decompressor } from './decompress.ts';

/** Pages of some columns of one row group. */
export interface Request {
  path: string;
  wanted: { optional: boolean; chunk: FlatChunk }[];
}

/** By column; or why there are none. */
export type Response = { pages: Page[][] } | { error: string };

const decompress = decompressor();
/** What is compressed is read here, again and again: new memory costs more than reading it. */
let scratch = new Uint8Array(0);

function answer({ path, wanted }: Request): Response {
  const file = openSync(path, 'r');
  try {
    return {
      pages: wanted.map(({ optional, chunk }) => {
        const pages = [...readPages(bytesOf(file, chunk), { optional }, chunk, decompress)];
        return pages.map((page) =>
          page.values.buffer === scratch.buffer ? { ...page, values: page.values.slice() } : page,
        );
      }),
    };
  } catch (error) {
    return { error: messageOf(error) };
  } finally {
    closeSync(file);
  }
}

function bytesOf(file: number, { at, length, codec }: FlatChunk): Uint8Array {
  const isKept = codec === 'UNCOMPRESSED';
  if (!isKept && scratch.length < length) scratch = new Uint8Array(length);
  const bytes = isKept ? new Uint8Array(length) : scratch.subarray(0, length);
  for (let done = 0; done < length; ) {
    const read = readSync(file, bytes, done, length - done, at + done);
    if (read === 0) throw new Error('the file is shorter than it was');
    done += read;
  }
  return bytes;
}

/** The memory of the pages, each piece once: what is handed over instead of copied. */
function memoryOf(response: Response): ArrayBuffer[] {
  if (!('pages' in response)) return [];
  const parts = response.pages.flat().flatMap(({ values, present, indexes }) => [values, present, indexes]);
  return [...new Set(parts.flatMap((part) => (part === undefined ? [] : [part.buffer as ArrayBuffer])))];
}

parentPort?.on('message', (request: Request) => {
  let response: Response;
  try {
    response = answer(request);
  } catch (error) {
    response = { error: messageOf(error) };
  }
  parentPort?.postMessage(response, memoryOf(response));
});
