/** One onnxruntime-node session, in whichever thread this is loaded. */
import * as ort from 'onnxruntime-node';
import { ModelError, messageOf } from '../../src/errors.ts';
import type { Session, Tensor } from '../../src/onnx/session.ts';

/** Everything a session needs; plain data, so that it can be sent to a worker. */
export interface RuntimeSpec {
  graph: Uint8Array;
  /** The folder in which the graph's external data lies, symlinks followed. */
  folder: string;
  /** The weights by hand, where the runtime is not to read the file itself. */
  weights?: { location: string; bytes: Uint8Array };
  /** Threads of one run; the runtime's own choice where absent. */
  threads?: number;
  /** Keeps no rearranged copy of the matrices. */
  lean: boolean;
  /** The execution provider; `cpu` where absent. What it cannot run, the CPU does. */
  provider?: string;
}

/** Loads a graph. Throws `ModelError` with the runtime's own words. */
export async function createRuntimeSession(spec: RuntimeSpec): Promise<Session> {
  const { graph, folder, weights, threads, lean, provider = 'cpu' } = spec;
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    // A plan of memory per input shape would be kept for every caption length.
    enableMemPattern: false,
    extra: {
      session: {
        model_external_initializers_file_folder_path: folder,
        disable_prepacking: lean ? '1' : '0',
        // Threads that spin between kernels take the cores from decoding.
        intra_op: { allow_spinning: '0' },
      },
    },
  };
  if (threads !== undefined) options.intraOpNumThreads = threads;
  if (weights !== undefined) options.externalData = [{ path: weights.location, data: weights.bytes }];
  try {
    return new RuntimeSession(await ort.InferenceSession.create(graph, options));
  } catch (cause) {
    throw new ModelError(`onnxruntime cannot load the model: ${messageOf(cause)}`, { cause });
  }
}

class RuntimeSession implements Session {
  #session: ort.InferenceSession | undefined;
  readonly #running = new Set<Promise<unknown>>();

  constructor(session: ort.InferenceSession) {
    this.#session = session;
  }

  async run(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    if (this.#session === undefined) throw new ModelError('the model was released before this run');
    const running = runOnce(this.#session, feeds);
    this.#running.add(running);
    try {
      return await running;
    } catch (cause) {
      throw new ModelError(`onnxruntime failed in a run: ${messageOf(cause)}`, { cause });
    } finally {
      this.#running.delete(running);
    }
  }

  async release(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    // A run starts only in the next turn of the event loop, and on a freed session it ends the process.
    await Promise.allSettled(this.#running);
    await session?.release();
  }
}

async function runOnce(
  session: ort.InferenceSession,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  return mapValues(await session.run(mapValues(feeds, toOrt)), fromOrt);
}

function toOrt(tensor: Tensor): ort.Tensor {
  switch (tensor.type) {
    case 'float32':
      return new ort.Tensor('float32', tensor.data, tensor.dims);
    case 'int32':
      return new ort.Tensor('int32', tensor.data, tensor.dims);
    case 'int64':
      return new ort.Tensor('int64', tensor.data, tensor.dims);
  }
}

function fromOrt(tensor: ort.Tensor): Tensor {
  const { data, dims } = tensor;
  if (data instanceof Float32Array) return { type: 'float32', dims, data };
  if (data instanceof Int32Array) return { type: 'int32', dims, data };
  if (data instanceof BigInt64Array) return { type: 'int64', dims, data };
  throw new Error(`an answer has the type ${tensor.type}`);
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
