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

async function stepwise(parts: Uint8Array[], limit: number): Promise<Inflated> {
  const stream = createInflate();
  const chunks: Uint8Array[] = [];
  let size = 0;
  let failed = false;
  let ended = false;
  stream.on('data', (chunk: Uint8Array) => {
    if (size < limit) chunks.push(chunk.subarray(0, limit - size));
    size += chunk.length;
  });
  stream.on('end', () => {
    ended = true;
  });
  const failure = new Promise<void>((resolve) => {
    stream.on('error', () => {
      failed = true;
      resolve();
    });
  });
  const done = new Promise<void>((resolve) => {
    stream.on('end', resolve);
  });
  for (const part of parts) {
    for (let at = 0; at < part.length && !failed && !ended && size < limit; at += STEP) {
      const written = new Promise<void>((resolve) => {
        stream.write(part.subarray(at, at + STEP), () => resolve());
      });
      await Promise.race([written, failure, done]);
    }
  }
  if (!failed && !ended && size < limit) {
    // Nothing more comes: a stream that is whole ends here, another one fails.
    stream.end();
    const wasShort = await Promise.race([done.then(() => false), failure.then(() => true)]);
    stream.destroy();
    return { data: Buffer.concat(chunks), state: size >= limit ? 'full' : wasShort ? 'short' : 'ended' };
  }
  stream.destroy();
  const data = Buffer.concat(chunks);
  // An error once more than enough had come out is one that Pillow never meets.
  if (failed && size <= limit) return { data, state: 'broken' };
  return { data, state: size >= limit ? 'full' : 'ended' };
}
