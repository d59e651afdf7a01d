/** `--trace FILE`: what a run did and when, as Chrome's trace format shows it. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { messageOf, OutputError } from '../../src/errors.ts';
import { Tracer } from '../../src/run/trace.ts';

/** Characters gathered before they are written. */
const CHUNK = 1 << 16;

export interface OpenTrace {
  tracer: Tracer;
  /** Ends the file, however the run ended. Throws `OutputError`. */
  close(): Promise<void>;
}

/** Sums the seconds of stages, and writes all of it to `file` where one is given. Throws `OutputError`. */
export async function openTrace(file: string | undefined): Promise<OpenTrace> {
  const now = (): number => performance.now();
  if (file === undefined) return { tracer: new Tracer(now), close: async () => {} };
  const failed = (cause: unknown): OutputError =>
    new OutputError(`the trace cannot be written: ${messageOf(cause)}`, { file, cause });
  const stream = createWriteStream(file);
  try {
    await once(stream, 'open');
  } catch (cause) {
    throw failed(cause);
  }
  let failure: unknown;
  stream.on('error', (cause) => {
    failure ??= cause;
  });
  let text = '[\n{"ph":"M","pid":1,"name":"process_name","args":{"name":"shardsieve"}}';
  const tracer = new Tracer(now, (json) => {
    text += `,\n${json}`;
    if (text.length < CHUNK) return;
    stream.write(text);
    text = '';
  });
  return {
    tracer,
    async close() {
      await new Promise<void>((done) => {
        // Called with an error too, and before it is an event.
        stream.end(`${text}\n]\n`, (cause?: Error | null) => {
          if (cause) failure ??= cause;
          done();
        });
      });
      if (failure !== undefined) throw failed(failure);
    },
  };
}
