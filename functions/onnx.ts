/**
 * onnxruntime-web in a Worker, where WebAssembly may not be compiled at run time: the module is compiled when the Worker
 * is deployed, and handed in.
 */
import * as ort from 'onnxruntime-web/wasm';
import { ModelError, messageOf } from '../src/errors.ts';
import type { Session, SessionFactory, Tensor } from '../src/onnx/session.ts';

/**
 * A factory over onnxruntime-web's `ort-wasm-simd-threaded.wasm`, imported as a module. Graphs must hold their weights, or
 * find them in `weights`. One thread: Workers have no more.
 */
export function edgeSessions(wasm: WebAssembly.Module, weights?: Uint8Array): SessionFactory {
  return {
    location: 'weights',
    provider: 'wasm',
    async create(graph) {
      handIn(wasm);
      const externalData = weights === undefined ? [] : [{ path: 'weights', data: weights }];
      try {
        const options = { executionProviders: ['wasm'], externalData };
        return new EdgeSession(await ort.InferenceSession.create(graph, options));
      } catch (cause) {
        throw new ModelError(`onnxruntime cannot load the model: ${messageOf(cause)}`, { cause });
      }
    },
  };
}

/** Stands for the compiled module: bytes that are no WebAssembly. */
const TOKEN = Uint8Array.of(0x6f, 0x72, 0x74, 0x2d, 0x77, 0x61, 0x73, 0x6d);
let handedIn = false;

/**
 * The runtime compiles itself with `WebAssembly.instantiate` when its first session is made, and can be handed nothing
 * but bytes. It is given a token, for which the function answers with the compiled module; whoever else calls it gets what
 * it always gave.
 */
function handIn(wasm: WebAssembly.Module): void {
  if (handedIn) return;
  handedIn = true;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = TOKEN;
  const original = WebAssembly.instantiate;
  const instantiate = async (source: BufferSource | WebAssembly.Module, imports?: WebAssembly.Imports) => {
    if (source instanceof WebAssembly.Module) return original(source, imports);
    if (!isToken(source)) return original(source, imports);
    return { module: wasm, instance: await original(wasm, imports) };
  };
  Object.assign(WebAssembly, { instantiate });
}

function isToken(source: BufferSource): boolean {
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  return bytes.length === TOKEN.length && bytes.every((byte, i) => byte === TOKEN[i]);
}

class EdgeSession implements Session {
  readonly #session: ort.InferenceSession;

  constructor(session: ort.InferenceSession) {
    this.#session = session;
  }

  async run(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    try {
      const inputs = Object.entries(feeds).map(([name, tensor]) => [name, toOrt(tensor)] as const);
      const answers = await this.#session.run(Object.fromEntries(inputs));
      return Object.fromEntries(Object.entries(answers).map(([name, tensor]) => [name, fromOrt(tensor)]));
    } catch (cause) {
      throw new ModelError(`onnxruntime failed in a run: ${messageOf(cause)}`, { cause });
    }
  }

  release(): Promise<void> {
    return this.#session.release();
  }
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

function fromOrt({ data, dims, type }: ort.Tensor): Tensor {
  if (data instanceof Float32Array) return { type: 'float32', dims, data };
  if (data instanceof Int32Array) return { type: 'int32', dims, data };
  if (data instanceof BigInt64Array) return { type: 'int64', dims, data };
  throw new Error(`an answer has the type ${type}`);
}
