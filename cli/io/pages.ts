import { Buffer } from 'node:buffer';
import * as zlib from 'node:zlib';
import { snappyUncompressor } from 'hysnappy';
import type { PageTools } from '../../src/select/page-scan.ts';

/** What Node has for reading pages: snappy in WebAssembly, zlib's gzip and zstd, strings made natively. */
export function nodePageTools(): PageTools {
  let snappy: ReturnType<typeof snappyUncompressor> | undefined;
  return {
    decompress(codec, bytes, length) {
      switch (codec) {
        case 'SNAPPY':
          if (snappyLength(bytes) !== length) throw new Error('a page of another length');
          snappy ??= snappyUncompressor();
          return snappy(bytes, length);
        case 'ZSTD':
          return plain(zlib.zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, length) }));
        case 'GZIP':
          return plain(zlib.gunzipSync(bytes, { maxOutputLength: Math.max(1, length) }));
        default:
          throw new Error(`pages compressed by ${codec}`);
      }
    },
    ascii: ({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength).toString('latin1'),
  };
}

/** One kind of array for all that reads them, which is what keeps that quick. */
const plain = ({ buffer, byteOffset, byteLength }: Buffer) => new Uint8Array(buffer, byteOffset, byteLength);

/** The length that a snappy block says it has. */
function snappyLength(bytes: Uint8Array): number {
  let length = 0;
  for (let i = 0; i < Math.min(5, bytes.length); i++) {
    length += (bytes[i] & 0x7f) * 2 ** (7 * i);
    if (bytes[i] < 0x80) return length;
  }
  return -1;
}
