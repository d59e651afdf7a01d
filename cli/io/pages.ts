import { Buffer } from 'node:buffer';
import { type PageTools, pagesBy } from '../../src/select/page-scan.ts';
import { decompressor } from './decompress.ts';
import { pathIn } from './folder.ts';
import { PageThread } from './page-thread.ts';

/**
 * What Node reads pages with. Of files in directories, `thread` has a second thread read and decompress them while the
 * first decodes and judges; starting it takes some 50 ms. `close` ends it.
 */
export function nodePageTools({ thread = false } = {}): PageTools & { close(): void } {
  const own = pagesBy(decompressor());
  let other: PageThread | undefined;
  return {
    pages(file, wanted) {
      const path = thread ? pathIn(file.folder, `${file.shard}.parquet`) : undefined;
      if (path === undefined) return own(file, wanted);
      other ??= new PageThread();
      return other.pages(path, wanted);
    },
    ascii: ({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength).toString('latin1'),
    close: () => other?.close(),
  };
}
