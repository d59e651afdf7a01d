import * as zlib from 'node:zlib';
import { snappyUncompressor } from 'hysnappy';
import type { Decompress } from '../../src/metadata/parquet-pages.ts';

/** Pages decompressed by what Node has: snappy in WebAssembly, zlib's gzip and zstd. */
export function decompressor(): Decompress {
  let snappy: ReturnType<typeof snappyUncompressor> | undefined;
  return (codec, bytes, length) => {
    switch (codec) {
      case 'SNAPPY':
        if (snappyLength(bytes) !== length) throw new Error('a page of another length');
        snappy ??= snappyUncompressor();
        return snappy(bytes, length);
      case 'ZSTD':
        return own(zlib.zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, length) }));
      case 'GZIP':
        return own(zlib.gunzipSync(bytes, { maxOutputLength: Math.max(1, length) }));
      default:
        throw new Error(`pages compressed by ${codec}`);
    }
  };
}

/** In memory that nothing else lies in, which may be handed to another thread; and no Buffer, which reads slower. */
function own(bytes: Buffer): Uint8Array {
  const { buffer, byteLength } = bytes;
  return buffer.byteLength === byteLength ? new Uint8Array(buffer) : new Uint8Array(bytes);
}

/** The length that a snappy block says it has. */
function snappyLength(bytes: Uint8Array): number {
  let length = 0;
  for (let i = 0; i < Math.min(5, bytes.length); i++) {
    length += (bytes[i] & 0x7f) * 2 ** (7 * i);
    if (bytes[i] < 0x80) return length;
  }
  return -1;
}
