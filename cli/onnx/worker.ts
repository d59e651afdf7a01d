/**
 * A thread that holds one session. onnxruntime-node's `run` blocks the thread that calls it; here that thread has
 * nothing else to do, while the main one goes on reading, decoding and answering signals.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { DeviceError, messageOf } from '../../src/errors.ts';
import type { Tensor } from '../../src/onnx/session.ts';
import { createRuntimeSession, type RuntimeSpec } from './runtime.ts';

export interface Request {
  id: number;
  /** Absent: release. */
  feeds?: Readonly<Record<string, Tensor>>;
}

/** `id` 0 is the answer to the creation. */
export interface Response {
  id: number;
  answers?: Record<string, Tensor>;
  /** The message of a `ModelError`, or of a `DeviceError`. */
  error?: string;
  isDevice?: boolean;
}

async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  const reply = (response: Response): void => {
    const buffers = Object.values(response.answers ?? {}).map((tensor) => tensor.data.buffer as ArrayBuffer);
    port.postMessage(response, buffers);
  };
  try {
    const spec = workerData as RuntimeSpec;
    const session = await createRuntimeSession(spec);
    // The runtime has made its own copy; without this the bytes live as long as the thread.
    delete spec.weights;
    port.on('message', async ({ id, feeds }: Request) => {
      try {
        if (feeds === undefined) await session.release();
        reply({ id, answers: feeds === undefined ? {} : await session.run(feeds) });
      } catch (error) {
        reply({ id, ...failure(error) });
      }
    });
    reply({ id: 0 });
  } catch (error) {
    reply({ id: 0, ...failure(error) });
  }
}

function failure(error: unknown): Omit<Response, 'id'> {
  return { error: messageOf(error), isDevice: error instanceof DeviceError };
}

await main();
