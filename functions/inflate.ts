/** zlib for PNG where there is no Node: the platform's own streams. */

import type { Inflate, Inflated } from '../src/image/png-pixels.ts';

/** Stops as soon as `limit` bytes are there, so that a bomb unpacks no further. */
export const inflate: Inflate = async (parts, limit) => {
  const stream = new DecompressionStream('deflate');
  const writer = stream.writable.getWriter();
  const feed = async (): Promise<void> => {
    for (const part of parts) await writer.write(part as Uint8Array<ArrayBuffer>);
    await writer.close();
  };
  // What goes wrong in writing is seen in reading too.
  const feeding = feed().catch(() => undefined);
  const data = new Uint8Array(limit);
  const reader = stream.readable.getReader();
  let size = 0;
  let state: Inflated['state'] = 'full';
  try {
    while (size < limit) {
      const { done, value } = await reader.read();
      if (done) {
        state = 'ended';
        break;
      }
      data.set(value.subarray(0, limit - size), size);
      size += Math.min(value.length, limit - size);
    }
  } catch {
    state = 'broken';
  }
  await reader.cancel().catch(() => undefined);
  await feeding;
  return { data: data.subarray(0, size), state };
};
