/** zlib for PNG, off the main thread. */

import { createInflate, inflate as inflateAll } from 'node:zlib';
import type { Inflate, Inflated } from '../../src/image/png-pixels.ts';

/** The steps in which Pillow feeds zlib; they decide whether an error after the last row is noticed. */
const STEP = 65536;

/**
 * The usual case is one call. Whatever is not a whole stream of exactly `limit` bytes is unpacked again in
 * steps, to learn how far it holds.
 */
export const inflate: Inflate = async (parts, limit) => {
  const packed = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  const whole = await new Promise<Uint8Array | undefined>((resolve) => {
    inflateAll(packed, { maxOutputLength: Math.max(1, limit) }, (error, data) =>
      resolve(error ? undefined : data),
    );
  });
  if (whole?.length === limit) return { data: whole, state: 'full' };
  return stepwise(parts, limit);
};

/** Output buffers of the careful way: not more than this many bytes where `limit` can be divided so. */
const LARGEST_BUFFER = 1024 * 1024;
/** Node's least. */
const SMALLEST_BUFFER = 64;

/**
 * The largest buffer that divides `limit`, so that zlib's last call before `limit` has no room for a byte
 * more. Only then does it find the same errors in that call as it does for Pillow.
 */
function bufferSize(limit: number): number {
  for (let n = Math.max(1, Math.ceil(limit / LARGEST_BUFFER)); limit / n >= SMALLEST_BUFFER; n++) {
    if (limit % n === 0) return limit / n;
  }
  return Math.max(limit, SMALLEST_BUFFER);
}

async function stepwise(parts: Uint8Array[], limit: number): Promise<Inflated> {
  const stream = createInflate({ chunkSize: bufferSize(limit) });
  const chunks: Uint8Array[] = [];
  let size = 0;
  let state: Inflated['state'] | undefined;
  const settled = new Promise<void>((resolve) => {
    const settle = (value: Inflated['state']): void => {
      state ??= value;
      resolve();
    };
    stream.on('data', (chunk: Uint8Array) => {
      if (size < limit) chunks.push(chunk.subarray(0, limit - size));
      size += chunk.length;
      if (size >= limit) settle('full');
    });
    stream.on('end', () => settle('ended'));
    stream.on('error', (error: NodeJS.ErrnoException) =>
      settle(error.code === 'Z_BUF_ERROR' ? 'short' : 'broken'),
    );
  });
  for (const part of parts) {
    for (let at = 0; at < part.length && state === undefined; at += STEP) {
      const written = new Promise<void>((resolve) => {
        stream.write(part.subarray(at, at + STEP), () => resolve());
      });
      await Promise.race([written, settled]);
    }
  }
  // Nothing more comes: a stream that is whole ends here, another one fails.
  if (state === undefined) {
    stream.end();
    await settled;
  }
  stream.destroy();
  return { data: Buffer.concat(chunks), state: state ?? 'short' };
}
