import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { readBody } from '../../functions/app/body.ts';
import { DEFAULT_LIMITS } from '../../functions/app/limits.ts';
import { CancelledError } from '../../src/errors.ts';
import { streamBytes } from '../../src/io/web.ts';

const MIB = 2 ** 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** `count` chunks, each new memory, made when it is asked for. */
function chunks(count: number, bytes: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let made = 0;
  return new ReadableStream(
    {
      pull(controller) {
        if (made++ < count) controller.enqueue(new Uint8Array(bytes).fill(1));
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Twice: the memory of what a collection finds is given back beside the program, at the latest by the next. */
async function heldBytes(): Promise<number> {
  for (let i = 0; i < 2; i++) {
    await new Promise((go) => setTimeout(go, 5));
    collect();
  }
  return process.memoryUsage().arrayBuffers;
}

describe('a body as chunks', () => {
  it('holds none that has been used up, however long the body and its signal live', async () => {
    const before = await heldBytes();
    const idle = { ms: 60_000, error: () => new Error('idle') };
    let read = 0;
    let most = 0;
    for await (const chunk of streamBytes(chunks(200, MIB), new AbortController().signal, idle)) {
      read += chunk.length;
      if (read % (50 * MIB) === 0) most = Math.max(most, (await heldBytes()) - before);
    }
    expect(read).toBe(200 * MIB);
    expect(most).toBeLessThan(50 * MIB);
  });

  it('that is gathered leaves its chunks behind', async () => {
    const sent: WeakRef<Uint8Array>[] = [];
    let most = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          if (sent.length % 16 === 0) {
            await heldBytes();
            most = Math.max(most, sent.filter((chunk) => chunk.deref() !== undefined).length);
          }
          if (sent.length === 64) return controller.close();
          const chunk = new Uint8Array(MIB / 4);
          sent.push(new WeakRef(chunk));
          controller.enqueue(chunk);
        },
      },
      { highWaterMark: 0 },
    );
    const init = { method: 'POST', body, duplex: 'half' };
    expect((await readBody(new Request('http://127.0.0.1/', init), DEFAULT_LIMITS)).length).toBe(16 * MIB);
    expect(most).toBeLessThan(8);
  });

  it('stops on the signal while one is waited for, and before the next', async () => {
    const leaving = new AbortController();
    let cancelled = 0;
    const still = () =>
      new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(Uint8Array.of(1)),
        cancel: () => {
          cancelled++;
        },
      });
    const waits = streamBytes(still(), leaving.signal);
    const between = streamBytes(still(), leaving.signal);
    await waits.next();
    await between.next();
    const waited = waits.next();
    leaving.abort();
    await expect(waited).rejects.toBeInstanceOf(CancelledError);
    await expect(between.next()).rejects.toBeInstanceOf(CancelledError);
    expect(cancelled).toBe(2);
  });

  it('throws what the idle bound says', async () => {
    const silent = new ReadableStream<Uint8Array>();
    const idle = { ms: 10, error: () => new Error('nothing came') };
    await expect(streamBytes(silent, undefined, idle).next()).rejects.toThrow('nothing came');
  });
});
