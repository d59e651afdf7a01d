/** One onnxruntime-node session, in whichever thread this is loaded. */
import * as ort from 'onnxruntime-node';
import { ModelError, messageOf } from '../../src/errors.ts';
import type { Session, Tensor } from '../../src/onnx/session.ts';
import { deviceError } from '../devices/available.ts';
import { CPU, type Device } from '../devices/spec.ts';
import { checkPlacement, profiled } from './placement.ts';

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
  /** What runs it; the CPU where absent. */
  device?: Device;
}

/**
 * Loads a graph. Throws `ModelError` with the runtime's own words, and `DeviceError` where another device than the CPU is
 * not to be had or leaves a part of the graph to the CPU: on such a one the graph is run once, which compiles its kernels.
 */
export async function createRuntimeSession(spec: RuntimeSpec): Promise<Session> {
  const { graph, folder, weights, threads, lean, device = CPU } = spec;
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: providersOf(device),
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
  if (device.kind !== 'cpu') return createOnDevice(graph, options, device);
  try {
    return new RuntimeSession(await ort.InferenceSession.create(graph, options));
  } catch (cause) {
    throw new ModelError(`onnxruntime cannot load the model: ${messageOf(cause)}`, { cause });
  }
}

async function createOnDevice(
  graph: Uint8Array,
  options: ort.InferenceSession.SessionOptions,
  device: Device,
): Promise<Session> {
  // What it says is in the errors that are thrown; its log would only repeat it.
  const quiet = { ...options, logSeverityLevel: 4 } as const;
  const made = await profiled(
    (profile) => ort.InferenceSession.create(graph, { ...quiet, ...profile }),
    async (session) => {
      await session.run(emptyFeeds(session));
    },
  ).catch((cause: unknown) => {
    throw deviceError(device, cause);
  });
  try {
    checkPlacement(made.placement, device);
  } catch (error) {
    await made.session.release();
    throw error;
  }
  return new RuntimeSession(made.session);
}

function providersOf({ kind, index }: Device): ort.InferenceSession.ExecutionProviderConfig[] {
  const number = index === undefined ? {} : { deviceId: index };
  switch (kind) {
    case 'directml':
      return [{ name: 'dml', ...number }];
    case 'tensorrt':
      // What TensorRT has no kernel for stays on the same GPU.
      return [
        { name: 'tensorrt', ...number },
        { name: 'cuda', ...number },
      ];
    default:
      return [{ name: kind, ...number }];
  }
}

/** Noughts for every input, one sample of one token. */
function emptyFeeds(session: ort.InferenceSession): Record<string, ort.Tensor> {
  const feeds: Record<string, ort.Tensor> = {};
  for (const input of session.inputMetadata) {
    if (!input.isTensor) throw new Error(`the input ${input.name} is no tensor`);
    const dims = input.shape.map((size) => (typeof size === 'number' ? size : 1));
    const length = dims.reduce((product, size) => product * size, 1);
    feeds[input.name] =
      input.type === 'int32'
        ? new ort.Tensor('int32', new Int32Array(length), dims)
        : new ort.Tensor('float32', new Float32Array(length), dims);
  }
  return feeds;
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
